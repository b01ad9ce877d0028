"""Play the scenarios of one module in this interpreter: ``play.py MODULE RESULTS NAME…``.

Writes one JSON line ``[name, {"seen": …}]`` for each scenario as soon as it has ended.
Started by ``sides.py``, which sets ``COMPAT_SIDE`` and ``COMPAT_DIRECTORY``.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from django.conf import settings

SCENARIO_SECONDS = 20


def main() -> None:
    """Play what the command line names and leave without waiting for stray threads."""
    module_name, results, *names = sys.argv[1:]
    configure(Path(os.environ["COMPAT_DIRECTORY"]))
    with Path(results).open("w") as lines:
        try:
            module = importlib.import_module(f"scenarios.{module_name}")
        except Exception:
            failure = {"failed": traceback.format_exc()}
            lines.writelines(json.dumps([name, failure]) + "\n" for name in names)
        else:
            for name in names:
                lines.write(json.dumps([name, play(module, name)]) + "\n")
                lines.flush()
    os._exit(0)


def configure(directory: Path) -> None:
    """Set up Django with a database file, database sessions and one memory layer."""
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(directory / "database.sqlite3"),
        "OPTIONS": {"timeout": 10},
        "TEST": {"NAME": str(directory / "test.sqlite3")},
    }
    settings.configure(
        SECRET_KEY="compat-only",
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "channels",
        ],
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()
    logging.getLogger().addHandler(logging.NullHandler())


def play(module: ModuleType, name: str) -> dict[str, Any]:
    """Run one scenario from a clean state and return its observation."""
    from support import plain

    if getattr(module, "NEEDS_DATABASE", False):
        clean_database()
    forget_layers()
    scenario: Callable[[], Any] = getattr(module, name)
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SCENARIO_SECONDS)
    try:
        seen = asyncio.run(scenario()) if inspect.iscoroutinefunction(scenario) else scenario()
        return {"seen": plain(seen)}
    except (Exception, SystemExit):
        return {"failed": traceback.format_exc()}
    finally:
        signal.alarm(0)


def clean_database() -> None:
    """Make the tables once, then empty them."""
    from django.core.management import call_command
    from django.db import connection

    if "auth_user" in connection.introspection.table_names():
        call_command("flush", verbosity=0, interactive=False)
    else:
        call_command("migrate", verbosity=0, interactive=False)


def forget_layers() -> None:
    """Let the next scenario build its own channel layers."""
    from channels.layers import channel_layers

    channel_layers.backends = {}


def out_of_time(_signal: int, _frame: object) -> None:
    """Interrupt a scenario that hangs."""
    raise TimeoutError(f"no end within {SCENARIO_SECONDS} s")


if __name__ == "__main__":
    main()

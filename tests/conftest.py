"""Shared by every test: time limits that a slow machine may stretch."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from channels import lanes
from tests.slow import SLOW

# On the path from the start: while coverage looks at a path that has changed, it forgets modules
# that another thread is importing.
_MODULES = Path(tempfile.mkdtemp(prefix="channels-test-modules-"))
sys.path.append(str(_MODULES))

# An example is slow where the machine is busy; the limit is that of the whole test.
settings.register_profile("channels", deadline=None)
settings.load_profile("channels")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Stretch the limit of each test by the machine's factor."""
    config.option.timeout = SLOW * float(config.option.timeout or config.getini("timeout"))


def pytest_unconfigure() -> None:
    """Remove the folder of the modules that tests write."""
    shutil.rmtree(_MODULES, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse ids that differ between processes: parallel workers must collect the same tests."""
    if addresses := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"ids that hold an address; give others: {addresses}")


@pytest.fixture
def seconds() -> Callable[[float], float]:
    """Return ``seconds(n)``: a limit of ``n`` seconds, stretched likewise."""
    return lambda amount: SLOW * amount


@pytest.fixture(autouse=True)
def _lanes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test new threads for sync code: a used one keeps its database connections."""
    monkeypatch.setattr(lanes, "_lanes", [])


@pytest.fixture
def module_directory() -> Iterator[Path]:
    """An empty folder whose modules and packages can be imported during this test."""
    importlib.invalidate_caches()
    yield _MODULES
    for entry in _MODULES.iterdir():
        for name in [name for name in sys.modules if name.partition(".")[0] == entry.stem]:
            del sys.modules[name]
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

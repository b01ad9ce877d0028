"""Register the marker of the differential cases."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let ``-m compat`` and ``-m 'not compat'`` choose."""
    config.addinivalue_line("markers", "compat: plays scenarios on both sides, upstream's and ours")

"""Prints, at the end, what each fault did to the messages."""

from __future__ import annotations

from typing import Any

ROWS: list[tuple[Any, ...]] = []
HEAD = ("layer", "fault", "published", "failed", "lost", "doubled", "closed", "goes on after")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    if not ROWS:
        return
    terminalreporter.section("faults, 200 people in 20 rooms on 2 servers")
    for row in (HEAD, *ROWS):
        terminalreporter.write_line("  ".join(str(cell).ljust(14) for cell in row))

"""Prints, at the end, what each fault did to the messages."""

from __future__ import annotations

from typing import Any

ROWS: list[tuple[Any, ...]] = []
HEAD = ("layer", "fault", "published", "failed", "lost", "doubled", "closed", "goes on after")
TOPIC_ROWS: list[tuple[Any, ...]] = []
TOPIC_HEAD = (
    "fault", "published", "failed", "deliveries", "lost", "other faults", "gaps told",
    "volatile lost", "reconnects", "settled after",
)  # fmt: skip
RECOVERY_ROWS: list[tuple[Any, ...]] = []
RECOVERY_HEAD = (
    "restart", "clients", "published", "replayed", "half back", "all back", "reads", "at once",
    "too late",
)  # fmt: skip


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tables."""
    tables = (
        ("faults, 200 people in 20 rooms on 2 servers", 14, HEAD, ROWS),
        ("topics, 200 clients in 20 topics on 2 servers", 13, TOPIC_HEAD, TOPIC_ROWS),
        ("topics, clients that come back at once", 11, RECOVERY_HEAD, RECOVERY_ROWS),
    )
    for title, width, head, rows in tables:
        if not rows:
            continue
        terminalreporter.section(title)
        first = max(width, *(len(str(row[0])) for row in rows))
        for row in (head, *rows):
            cells = [str(row[0]).ljust(first), *(str(cell).ljust(width) for cell in row[1:])]
            terminalreporter.write_line("  ".join(cells))

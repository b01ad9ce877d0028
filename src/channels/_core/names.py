"""The grammar of channel and group names."""

from __future__ import annotations

import re
from typing import Final

MAX_NAME_LENGTH: Final = 100
"""Names are shorter than this many characters."""

GROUP_NAME: Final = re.compile(r"\A[A-Za-z0-9_.-]+\Z")
CHANNEL_NAME: Final = re.compile(r"\A[A-Za-z0-9_.-]+(?:![A-Za-z0-9_.-]*)?\Z")

INVALID_NAME: Final = (
    "{} name must be a string of 1 to 99 ASCII letters, digits, hyphens, underscores or full stops."
)


def non_local(name: str) -> str:
    """Return ``name`` up to and including its first ``!``, or all of it without one."""
    head, mark, _ = name.partition("!")
    return head + mark

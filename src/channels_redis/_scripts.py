"""The Lua scripts, one file each, whose head names its keys and arguments."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final


class Script:
    """A script by its name.

    Args:
        name: Of its file.
        shared: Name of a file that stands before it.
    """

    __slots__ = ("sha", "source")

    def __init__(self, name: str, *, shared: str | None = None) -> None:
        self.source: bytes = (b"" if shared is None else _read(shared)) + _read(name)
        # What Redis names scripts by; no secret.
        self.sha: str = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


def _read(name: str) -> bytes:
    return resources.files(__package__).joinpath("_lua", f"{name}.lua").read_bytes()


def in_ms(seconds: float) -> int:
    """Return a time as scripts take it: whole milliseconds, at least one."""
    return max(int(seconds * 1000), 1)


BEAT: Final = Script("beat")
ENQUEUE: Final = Script("enqueue")
GROUP_SEND: Final = Script("group_send")
JOIN: Final = Script("join")
JOIN_OTHER: Final = Script("join_other")
PULL: Final = Script("pull")
SEND: Final = Script("send")

PUBLISH: Final = Script("publish", shared="history")
READ: Final = Script("read", shared="history")
POSITIONS: Final = Script("positions", shared="history")
ENTER: Final = Script("enter", shared="presence")
LEAVE: Final = Script("leave", shared="presence")
RENEW: Final = Script("renew", shared="presence")
PRESENT: Final = Script("present", shared="presence")
FORGET: Final = Script("forget", shared="presence")

LOAD_ALL: Final = tuple(
    ("SCRIPT", "LOAD", script.source)
    for script in (BEAT, ENQUEUE, GROUP_SEND, JOIN, JOIN_OTHER, PULL, SEND)
)
"""Commands that make those of ``core`` known to a server."""
LOAD_TOPICS: Final = tuple(
    ("SCRIPT", "LOAD", script.source)
    for script in (PUBLISH, READ, POSITIONS, ENTER, LEAVE, RENEW, PRESENT, FORGET)
)
"""Likewise those of topics."""

"""The Lua scripts of ``core``, one file each, whose head names its keys and arguments."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final


class Script:
    """A script by its name."""

    __slots__ = ("sha", "source")

    def __init__(self, name: str) -> None:
        self.source: bytes = (
            resources.files(__package__).joinpath("_lua", f"{name}.lua").read_bytes()
        )
        # What Redis names scripts by; no secret.
        self.sha: str = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


BEAT: Final = Script("beat")
ENQUEUE: Final = Script("enqueue")
GROUP_SEND: Final = Script("group_send")
JOIN: Final = Script("join")
JOIN_OTHER: Final = Script("join_other")
PULL: Final = Script("pull")
SEND: Final = Script("send")

LOAD_ALL: Final = tuple(
    ("SCRIPT", "LOAD", script.source)
    for script in (BEAT, ENQUEUE, GROUP_SEND, JOIN, JOIN_OTHER, PULL, SEND)
)
"""Commands that make them known to a server."""

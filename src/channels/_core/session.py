"""The order of events in one WebSocket conversation, as seen from the consumer.

Two tables hold every rule. What the server tells us only moves the state: tests and channel
layers may inject any event, so none is refused. What the application sends is judged: a step
in ``TO_SERVER`` is passed on, one in ``QUIET`` is a no-op, any other is an error in the
application and raised.

A close that a handler has just sent leaves the state ``CLOSING``; once that handler is done it
is ``CLOSED``. So code after ``close()`` in the same handler hears of its mistake, while a group
message that crosses the close, which no application can foresee, is quiet.

Until ``websocket.connect`` has been seen the state is ``NEW`` and nothing is judged.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from channels.exceptions import IllegalEventError


class State(enum.StrEnum):
    """Where the conversation is; it starts at ``NEW`` and ends at ``GONE``."""

    NEW = enum.auto()
    CONNECTING = enum.auto()
    OPEN = enum.auto()
    DENYING = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()
    GONE = enum.auto()


OPEN: Final = State.OPEN
RECEIVE: Final = "websocket.receive"
ACCEPT: Final = "websocket.accept"
SEND: Final = "websocket.send"
CLOSE: Final = "websocket.close"
DENY_START: Final = "websocket.http.response.start"
DENY_BODY: Final = "websocket.http.response.body"
JUDGED: Final = frozenset({ACCEPT, SEND, CLOSE, DENY_START, DENY_BODY})

FROM_SERVER: Final[Mapping[tuple[State, str], State]] = {
    (State.NEW, "websocket.connect"): State.CONNECTING,
    **{(state, "websocket.disconnect"): State.GONE for state in State if state is not State.NEW},
}
TO_SERVER: Final[Mapping[tuple[State, str], State]] = {
    (State.CONNECTING, ACCEPT): State.OPEN,
    (State.CONNECTING, CLOSE): State.CLOSING,
    (State.CONNECTING, DENY_START): State.DENYING,
    (State.DENYING, DENY_BODY): State.DENYING,
    (State.OPEN, SEND): State.OPEN,
    (State.OPEN, CLOSE): State.CLOSING,
}
QUIET: Final = frozenset(
    {
        (State.CLOSING, CLOSE),
        (State.DENYING, CLOSE),
        *((State.CLOSED, kind) for kind in (SEND, CLOSE)),
        *((State.GONE, kind) for kind in JUDGED),
    }
)
EXPECTED: Final[Mapping[State, str]] = {
    State.CONNECTING: "websocket.accept or websocket.close first",
    State.OPEN: "websocket.send or websocket.close",
    State.DENYING: "websocket.http.response.body",
    State.CLOSING: "nothing after websocket.close",
    State.CLOSED: "nothing after websocket.close",
}


class Session:
    """The state of one conversation."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.NEW

    def received(self, event_type: str) -> None:
        """Note an event from the server."""
        if event_type == RECEIVE:
            return
        self.state = FROM_SERVER.get((self.state, event_type), self.state)

    def handled(self) -> None:
        """Note that the handler of the latest event is done."""
        state = self.state
        if state is not OPEN and (state is State.CLOSING or state is State.DENYING):
            self.state = State.CLOSED

    def peer_gone(self) -> None:
        """Note that the server can no longer reach the peer."""
        self.state = State.GONE

    def sent(self, event_type: str) -> bool:
        """Note an event the application sends; return whether to hand it to the server.

        Raises:
            IllegalEventError: The order is wrong. The state is as it was.
        """
        # Nearly every one; the tables say the same.
        if self.state is OPEN and event_type == SEND:
            return True
        if self.state is State.NEW or event_type not in JUDGED:
            return True
        step = (self.state, event_type)
        if step in QUIET:
            return False
        try:
            self.state = TO_SERVER[step]
        except KeyError:
            raise IllegalEventError(
                event_type, state=self.state.name, expected=EXPECTED[self.state]
            ) from None
        return True

"""Everything this package raises.

* ``ChannelsError``
    * ``IllegalEventError``            the application broke the ASGI order (also ``RuntimeError``)
    * ``NoHandlerError``               no handler for an event's type (also ``ValueError``)
    * ``InvalidFrameError``            a frame a consumer cannot read (also ``ValueError``)
        * ``MalformedJSONError``       ... because it is not JSON (also ``JSONDecodeError``)
    * ``NoRouteError``                 nothing serves this path (also ``ValueError``)
    * ``InvalidChannelLayerError``     a channel layer's setting is wrong (also ``ValueError``)
    * ``InvalidNameError``             a bad channel or group name (also ``TypeError``)
    * ``ChannelFull``                  a channel is at its capacity
    * ``LayerUnavailableError``        a layer's broker did not answer in time
    * ``MessageTooLarge``              an encoded message is over a layer's limit
    * ``UnknownTopicError``            no topic class has this name (also ``ValueError``)
    * ``RequestAborted``               the client went away while its body was read
        * ``RequestTimeout``           ... because it took too long
    * ``PeerError``                    a client broke the protocol or a limit; never in handlers
    * ``PeerGoneError``                there is nobody to send to (also ``OSError``)
* ``ConsumerSignal``                   control flow, not a failure
    * ``AcceptConnection``, ``DenyConnection``, ``StopConsumer``
"""

from __future__ import annotations

import copyreg
import json
from typing import Any, ClassVar


class ChannelsError(Exception):
    """Base of every error raised here on purpose.

    Attributes:
        close_code: WebSocket code that tells the client why, if this ends its connection.
    """

    close_code: ClassVar[int] = 1011

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle it with its sentence, which is not composed again."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class IllegalEventError(ChannelsError, RuntimeError):
    """The application sent an ASGI event at a moment when it is not allowed.

    Nothing was sent.
    """

    def __init__(self, event_type: str = "", *, state: str = "", expected: str = "") -> None:
        """Compose the sentence from the event, the state and what was expected."""
        super().__init__(
            f"{event_type!r} is not allowed while the socket is {state}; expected {expected}"
            if event_type
            else ""
        )
        self.event_type = event_type
        self.state = state


class NoHandlerError(ChannelsError, ValueError):
    """An event's type names no handler of the consumer. Nothing was called."""


class InvalidFrameError(ChannelsError, ValueError):
    """A frame is not of the kind its consumer reads."""

    close_code = 1003


class MalformedJSONError(InvalidFrameError, json.JSONDecodeError):
    """A text frame that should be JSON is not."""

    close_code = 1007


class NoRouteError(ChannelsError, ValueError):
    """No route serves the connection."""

    close_code = 1008


class InvalidChannelLayerError(ChannelsError, ValueError):
    """A channel layer cannot be used as configured, or lacks what is asked of it."""


class InvalidNameError(ChannelsError, TypeError):
    """A channel or group name breaks the grammar. Nothing was sent or joined.

    Attributes:
        name: The refused value.
    """

    def __init__(self, message: str = "", *, name: object = None) -> None:
        """Keep the sentence exactly as given, and the refused value beside it."""
        super().__init__(message)
        self.name = name


class ChannelFull(ChannelsError):
    """A channel already holds as many messages as its capacity. Nothing was sent."""

    close_code = 1013

    def __init__(
        self, channel: str | None = None, capacity: int | None = None, *more: object
    ) -> None:
        """Compose the sentence from the channel and its capacity; keep what else is given."""
        super().__init__(*([] if channel is None else [_full(channel, capacity)]), *more)
        self.channel = channel
        self.capacity = capacity


class LayerUnavailableError(ChannelsError):
    """The broker of a channel layer did not answer within the layer's time budget.

    What was asked for may or may not have happened.
    """

    close_code = 1013


class MessageTooLarge(ChannelsError):
    """An encoded message is over the layer's limit. Nothing was sent."""

    close_code = 1009


class UnknownTopicError(ChannelsError, ValueError):
    """No topic class has a pattern for this name. Nothing was published.

    Attributes:
        name: The refused value.
    """

    close_code = 1008

    def __init__(self, name: object = None, patterns: list[str] | None = None) -> None:
        """Compose the sentence from the name and the patterns there are."""
        known = ", ".join(patterns or []) or "none; an app has them in its module 'topics'"
        super().__init__(f"no topic {name!r}; known patterns: {known}")
        self.name = name


class RequestAborted(ChannelsError):
    """The client went away while its request body was being read."""


class RequestTimeout(RequestAborted):
    """The client took too long to send its request body."""


class PeerError(ChannelsError):
    """A client broke the WebSocket protocol or a limit; the server closes with the code.

    Attributes:
        close_code: The code of the close frame.
        reason: Its reason.
        limit: The setting of the limit, in small letters; empty if it is none.
    """

    def __init__(self, close_code: int, reason: str, *, limit: str = "") -> None:
        """Keep the code and the reason for the close frame."""
        super().__init__(reason)
        self.close_code = close_code  # type: ignore[misc] # each violation has its own
        self.reason = reason
        self.limit = limit


class PeerGoneError(ChannelsError, OSError):
    """The server was asked to send to a client that has gone. Nothing was sent."""


class ConsumerSignal(Exception):
    """Base of the exceptions a consumer raises to steer itself; not an error."""


class AcceptConnection(ConsumerSignal):
    """Raised in a connect handler: accept the WebSocket now."""


class DenyConnection(ConsumerSignal):
    """Raised in a connect handler: refuse the WebSocket.

    Args:
        *args: A code, and behind it a reason; anything else is for the application's own eyes,
            and no client sees it.
        code: Code for the close event; ``None`` leaves it out.
        reason: Text for the close event.
    """

    def __init__(self, *args: Any, code: int | None = None, reason: str | None = None) -> None:
        """Keep the code and reason for the close event."""
        super().__init__(*args, *(value for value in (code, reason) if value is not None))
        if args and isinstance(args[0], int) and not isinstance(args[0], bool):
            code, *rest = args
            reason = rest[0] if rest and isinstance(rest[0], str) else reason
        self.code = code
        self.reason = reason


class StopConsumer(ConsumerSignal):
    """Raised in any handler: end this consumer normally."""


def _full(channel: str, capacity: int | None) -> str:
    if capacity is None:
        return f"channel {channel!r} is full"
    return f"channel {channel!r} already holds {capacity} messages, its capacity"

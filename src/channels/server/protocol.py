"""One WebSocket under uvicorn: bytes of a transport to ASGI events, and events to bytes.

The theory is a small state machine::

    NEW ─request─▶ ASKING ─accept─▶ OPEN ─our close─▶ CLOSING ─their close─▶ ENDED
                     │               └─their close, a violation─▶ ENDED
                     ├─response start─▶ DENYING ─last body─▶ ENDED
                     └─close, refusal─▶ ENDED

``CLOSING`` reads on, for the peer's close frame alone; ``ENDED`` reads nothing. Any of them is
``LOST`` when the transport is; messages that had come whole to an open socket are delivered first,
then the disconnect.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import uvicorn
from uvicorn.server import ServerState

from channels import telemetry
from channels._core.broadcast import Broadcast
from channels.exceptions import (
    ChannelsError,
    InvalidFrameError,
    NoRouteError,
    PeerError,
    PeerGoneError,
)
from channels.server.framing import (
    PING,
    encode,
    encode_close,
    encode_message,
    is_close_code,
)
from channels.server.incoming import Incoming
from channels.server.limits import TokenBucket
from channels.server.opening import BODY, logger
from channels.server.outgoing import ASKING, CLOSING, DENYING, ENDED, LOST, OPEN
from channels.server.wheel import get_wheel
from channels.typing import Event, Scope

CLOSE_TIMEOUT: Final = 10.0
"""Seconds that a peer has to answer our close, or to take what we have written before the end."""
LINGER: Final = 2.0
"""Seconds in which what a peer still sends after a violation is read and ignored. Closing at once
would reset the connection and so lose the close frame that says what was wrong."""

PING_FRAME: Final = encode(PING, b"")


class WebSocketProtocol(Incoming):
    """Serves one WebSocket; for uvicorn's ``ws`` setting.

    Args:
        config: Uvicorn's.
        server_state: Uvicorn's; connections and their tasks are noted there.
        app_state: State of the lifespan, copied into the scope.

    Attributes:
        slot: Where the socket's deadline stands; the wheel's own.
    """

    __slots__ = (
        "_awaits_pong",
        "_wheel",
        "slot",
    )

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._awaits_pong = False
        self.slot: int = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection whose first request asks for a WebSocket."""
        super().connection_made(transport)
        self._server.connections.add(cast("Any", self))
        self._wheel = get_wheel()
        self._wheel.set(self, self._limits.handshake_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and end it if it does not end by itself."""
        self._server.connections.discard(cast("Any", self))
        if self._state is not OPEN:
            self._reader = None
        self._state = LOST
        self._forget_outbox()
        self._wheel.forget(self)
        if self._task is not None and not self._task.done():
            self._wheel.set(self, 3 * self._limits.grace)
        self._part(1006, "")

    def deadline_passed(self) -> None:
        """Do what is due in this state."""
        if self._state is OPEN:
            self._beat()
        elif self._state is ASKING and self._task is None:
            # It stands in line, which is nobody's fault but ours.
            self._wheel.set(self, self._limits.handshake_timeout)
        elif self._has_asked():
            telemetry.emit(telemetry.ConnectionLimited("handshake_timeout"))
            logger.warning(
                "WebSocket %s: no answer in %g s, refused.",
                self._scope.get("path"),
                self._limits.handshake_timeout,
            )
            self._refuse(503, "the application did not answer in time")
        elif self._state is not LOST:
            self._transport.abort()
        elif self._task is not None:
            # It has been told, and has had the time of a handler and of its clean-up.
            self._task.cancel()

    def _begin(self) -> None:
        super()._begin()
        if self._state is ASKING:
            self._wheel.set(self, self._limits.handshake_timeout)

    def shutdown(self) -> None:
        """Close at once, because the server ends: with 1012, or status 503 if still asked."""
        self.close_for_restart()
        self._transport.close()

    def close_for_restart(self) -> None:
        """Close with code 1012, so that the client comes back, and wait for its answer."""
        if self._state is OPEN:
            if self.farewell is not None:
                self.write(self.farewell)
            self._close(1012, "service restart")
        elif self._has_asked():
            self._refuse(503, "the server restarts")

    def send_now(self, event: Event) -> bool:
        """Send a ``websocket.send`` at once; ``False``, and nothing done, for anything else.

        A client that does not read has to be waited for.
        """
        frame = self.frame_of(event)
        if frame is None:
            return False
        self._enqueue(frame)
        return True

    def frame_of(self, event: Event) -> bytes | None:
        """Return the frame of a ``websocket.send``, in any thread.

        ``None`` where it could not be sent at once, or for anything else.
        """
        if (
            self._state is not OPEN
            or self._drained is not None
            or type(event) is Broadcast
            or event["type"] != "websocket.send"
        ):
            return None
        payload = event.get("text")
        return encode_message(event["bytes"] if payload is None else payload, self._window_bits)

    def send_frame(self, frame: bytes) -> bool:
        """Send what ``frame_of`` returned; ``False`` if the socket has closed meanwhile."""
        if self._state is not OPEN:
            return False
        self._enqueue(frame)
        return True

    async def send(self, event: Event) -> None:
        """Send an event of the application, waiting while the client does not read.

        A broadcast waits for nobody.

        Raises:
            PeerGoneError: The socket has closed; this is an ``OSError``. Nothing was sent.
            ValueError: A header, subprotocol, status or close code is none. Nothing was sent.
            RuntimeError: The event is not allowed now. Nothing was sent.
        """
        kind, state = event["type"], self._state
        if state is OPEN and kind == "websocket.send":
            if type(event) is Broadcast:
                self.write(event)
                return
            if self._drained is not None:
                await self._wait_until_drained()
            self.send_now(event)
        elif state is OPEN and kind == "websocket.close":
            code = event.get("code")
            self._close(1000 if code is None else code, event.get("reason") or "")
        elif state is ASKING:
            self._answer(kind, event)
        elif state is DENYING and kind == BODY:
            self._deny(event)
        elif state is OPEN or state is DENYING:
            raise RuntimeError(f"{kind!r} is not allowed while the socket is {state}")
        else:
            raise PeerGoneError(f"{kind} to a socket that is {state}")

    async def _run(self, scope: Scope) -> None:
        try:
            await self._config.loaded_app(scope, self.receive, self.send)
        except PeerGoneError:
            # The client has gone, and the application did not mind (ASGI 2.4).
            self._finish(1000, 500)
        except asyncio.CancelledError:
            self._finish(1012, 503)
            raise
        except Exception as error:
            self._report(error)
            code = error.close_code if isinstance(error, ChannelsError) else 1011
            # An application may have errors of its own.
            code = code if is_close_code(code) else 1011
            self._finish(code, 404 if isinstance(error, NoRouteError) else 500)
        else:
            if self._state is ASKING:
                logger.error("WebSocket %s: the application did not answer.", scope["path"])
            self._finish(1000, 500)
        finally:
            self._task = None

    def _report(self, error: Exception) -> None:
        if isinstance(error, NoRouteError | InvalidFrameError):
            # Whoever wrote the client has to mend it: no traceback.
            logger.warning("WebSocket: %s", error)
        else:
            logger.error("Exception in ASGI application", exc_info=error)

    def _finish(self, code: int, status: int) -> None:
        """Close or refuse what the application has left."""
        if self._state is OPEN:
            self._close(code, "")
        elif self._state is ASKING:
            self._refuse(status, "")
        elif self._state is DENYING:
            self._end(b"")

    def _opened(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._limits.message_rate is not None:
            self._bucket = TokenBucket(self._limits.message_rate, now)
        self._message_at = now
        self._arm(self._limits.ping_interval)
        if self._event is None:
            self._read_on()

    # The end.

    def _close(self, code: int, reason: str) -> None:
        frame = encode_close(code, reason)
        self._flush_outbox()
        self._transmit(frame)
        self._state = CLOSING
        self._forget_outbox()
        self._wheel.set(self, CLOSE_TIMEOUT)
        self._part(code, reason)
        self._read_on()

    def _fail(self, error: PeerError) -> None:
        """Close because of what the peer has done."""
        if error.limit:
            telemetry.emit(telemetry.ConnectionLimited(error.limit))
        self._part(error.close_code, error.reason)
        was_open = self._state is OPEN
        self._state, self._reader = ENDED, None
        self._forget_outbox()
        if self._transport.is_closing():
            return
        if was_open:
            self._transmit(encode_close(error.close_code, error.reason))
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._wheel.set(self, LINGER)
        if self._is_reading_paused:
            self._resume_reading()

    def _end(self, last: bytes) -> None:
        self._state, self._reader, self._handshake = ENDED, None, None
        self._forget_outbox()
        if last:
            self._transmit(last)
        self._transport.close()
        self._wheel.set(self, CLOSE_TIMEOUT)
        self._part(1006, "")

    # Keeping alive.

    def _beat(self) -> None:
        limits = self._limits
        now = asyncio.get_running_loop().time()
        if limits.idle_timeout is not None and now - self._message_at >= limits.idle_timeout:
            telemetry.emit(telemetry.ConnectionLimited("idle_timeout"))
            self._close(1001, f"no message in {limits.idle_timeout:g} s")
        elif self._awaits_pong and self._is_quiet and not self._is_reading_paused:
            self._fail(PeerError(1011, "keepalive ping timeout"))
        elif self._awaits_pong or limits.ping_interval is None:
            self._awaits_pong = False
            self._arm(limits.ping_interval and limits.ping_interval - (limits.ping_timeout or 0))
        else:
            self._awaits_pong = limits.ping_timeout is not None
            self._is_quiet = True
            if self._drained is None:
                self._transmit(PING_FRAME)
            self._arm(limits.ping_timeout or limits.ping_interval)

    def _arm(self, seconds: float | None) -> None:
        """Beat again in ``seconds``, or sooner if the client may be idle too long then."""
        idle = self._limits.idle_timeout
        if idle is not None:
            now = asyncio.get_running_loop().time()
            rest = self._message_at + idle - now
            seconds = rest if seconds is None else min(seconds, rest)
        if seconds is not None:
            self._wheel.set(self, seconds)
        else:
            self._wheel.forget(self)

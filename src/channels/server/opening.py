"""How one WebSocket opens: the request, the application's answer, and a refusal."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Iterable
from typing import Any, Final

import uvicorn
from uvicorn.protocols.utils import (
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)
from uvicorn.server import ServerState

from channels import telemetry
from channels.exceptions import PeerGoneError
from channels.server import handshake
from channels.server.doorway import get_doorway
from channels.server.framing import FrameReader
from channels.server.limits import Limits, limits_of
from channels.server.outgoing import ASKING, DENYING, NEW, OPEN, Outgoing
from channels.sources import EXTENSION
from channels.typing import Event, Scope

START: Final = "websocket.http.response.start"
BODY: Final = "websocket.http.response.body"

logger: logging.Logger = logging.getLogger("uvicorn.error")


class Opening(Outgoing):
    """From the bytes of a request to an open socket or a refusal."""

    __slots__ = (
        "_app_state",
        "_config",
        "_denial",
        "_event",
        "_handshake",
        "_reader",
        "_scope",
        "_server",
        "_task",
    )

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(self.read_limits(config))
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._reader: FrameReader | None = None
        # The next event for the application.
        self._event: Event | None = None
        self._task: asyncio.Task[None] | None = None
        # These exist until the request is answered.
        self._scope: Scope = {}
        self._handshake: handshake.Handshake | None = None
        self._denial: tuple[int, Iterable[Any]] | None = None

    @classmethod
    def read_limits(cls, config: uvicorn.Config) -> Limits:
        """Return the limits of a socket; a subclass may have others."""
        return limits_of(config)

    def _start(self, head: bytes) -> None:
        """Read the request, whose whole head uvicorn hands over."""
        self.open(handshake.read_request(head, offers_deflate=self._limits.has_deflate))

    def open(self, asked: handshake.Handshake | None) -> None:
        """Ask the application, or refuse what cannot be a WebSocket."""
        if asked is None:
            self._refuse(400, "the request cannot be read")
        elif asked.refusal is not None:
            self._end(asked.refusal)
        elif len(self._server.connections) > self._limits.max_connections:
            telemetry.emit(telemetry.ConnectionLimited("max_connections"))
            self._refuse(503, "too many connections")
        else:
            self._ask(asked)

    def _ask(self, asked: handshake.Handshake) -> None:
        limits = self._limits
        self._state = ASKING
        self._handshake = asked
        self._window_bits = asked.window_bits
        self._reader = FrameReader(
            limits.max_frame_bytes, limits.max_message_bytes, has_deflate=bool(asked.window_bits)
        )
        self._event = {"type": "websocket.connect"}
        get_doorway().enter(self._begin)

    def _begin(self) -> None:
        """Ask the application, if the client still waits."""
        if self._state is not ASKING or self._handshake is None:
            return
        self._scope = self._make_scope(self._handshake)
        self._task = asyncio.get_running_loop().create_task(
            self._run(self._scope),
            context=contextvars.Context()
            if getattr(self._config, "reset_contextvars", False)
            else None,
        )
        self._server.tasks.add(self._task)
        self._task.add_done_callback(self._server.tasks.discard)

    def _make_scope(self, asked: handshake.Handshake) -> Scope:
        transport = self._transport
        scope: Scope = {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: {"socket": self}},
        }
        return handshake.fill_scope(scope, asked, self._config.root_path)

    def _answer(self, kind: str, event: Event) -> None:
        """Answer the request as the application says.

        Raises:
            PeerGoneError: The client has not waited. Nothing was sent.
            ValueError: A header, the subprotocol or the status is none. Nothing was sent.
            RuntimeError: The event is no answer. Nothing was sent.
        """
        if kind == "websocket.accept":
            self._accept(event)
        elif kind == "websocket.close":
            self._log_answer("403")
            self._refuse(403, "")
        elif kind == START:
            denial = event["status"], list(event.get("headers") or ())
            handshake.response_head(*denial, length=None)
            self._denial = denial
            self._log_answer(str(denial[0]))
            self._state = DENYING
        else:
            raise RuntimeError(
                f"{kind!r} is not allowed before the handshake is answered; expected "
                f"websocket.accept, websocket.close or {START}"
            )

    def _accept(self, event: Event) -> None:
        if self._handshake is None or self._transport.is_closing():
            raise PeerGoneError("the client has not waited for the answer to its handshake")
        response = handshake.accept_response(
            self._handshake,
            event.get("subprotocol"),
            event.get("headers") or (),
            defaults=self._server.default_headers,
        )
        self._log_answer("[accepted]")
        self._transmit(response)
        self._handshake, self._scope = None, {}
        self._state = OPEN
        self._opened()

    def _deny(self, event: Event) -> None:
        """Send one piece of the body of a denial; the last one ends the connection."""
        body, is_last = event.get("body", b""), not event.get("more_body", False)
        if self._denial is not None:
            # Only a body that comes whole has a length that is known.
            length = len(body) if is_last else None
            body = handshake.response_head(*self._denial, length=length) + body
            self._denial = None
        if is_last:
            self._end(body)
        else:
            self._transmit(body)

    def _refuse(self, status: int, reason: str) -> None:
        """Answer with a response of our own."""
        self._end(handshake.refuse(status, reason))

    def _log_answer(self, answer: str) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        logger.info(
            '%s - "WebSocket %s" %s',
            get_client_addr(self._scope),  # type: ignore[arg-type] # a scope is a dict here
            get_path_with_query_string(self._scope),  # type: ignore[arg-type]
            answer,
        )

    def _has_asked(self) -> bool:
        return self._state is NEW or self._state is ASKING

    async def _run(self, scope: Scope) -> None:
        """Serve the connection by the application."""
        raise NotImplementedError

    def _opened(self) -> None:
        """Begin to read."""
        raise NotImplementedError

    def _end(self, last: bytes) -> None:
        """Write something last, and let the connection end."""
        raise NotImplementedError

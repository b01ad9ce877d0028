"""One connection: events from the client and from the channel layer, one at a time.

The loop takes what there is to do and has it handled (``handling``); when nothing is left it parks,
and what then arrives may be handled without it (``parking``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from channels._core.broadcast import Broadcast
from channels.handling import MOST_AT_ONCE
from channels.layers.inbox import Inbox
from channels.parking import Parking
from channels.sources import Direct, Pump, Source, is_method_of
from channels.typing import Event, Receive


class Connection(Parking):
    """Runs one consumer's handlers over one connection; made as ``Handling`` is."""

    async def run(
        self,
        receive: Receive,
        layer_source: Source | Receive | None,
        dispatch: Callable[[Event], Awaitable[Any]],
    ) -> None:
        """Dispatch events, the client's first, until a handler or a source raises.

        Args:
            receive: The server's ``receive``.
            layer_source: The consumer's inbox, or ``receive`` of a layer without inboxes.
            dispatch: Handles one event.

        Raises:
            StopConsumer: A handler ended the connection.
            Exception: What a handler or a source raised.
        """
        self._dispatch = dispatch if self._threaded is None else self._threaded.run
        # Only a WebSocket's client can leave during a handler, so only it is read meanwhile.
        is_websocket = self._session is not None
        patience = self._grace if is_websocket else None
        pumps = []
        if self._socket is not None and is_method_of(receive, self._socket):
            self._client = Direct(self._socket, self._arrived, self._grace)
        else:
            self._client = Pump(receive, self._arrived, ahead=is_websocket, patience=patience)
            pumps.append(self._client)
        self._sources.append(self._client)
        if callable(layer_source):
            # Not read ahead: what is unhandled at the end stays with the layer.
            pumps.append(Pump(layer_source, self._wake_for, ahead=False))
            self._sources.append(pumps[-1])
        elif layer_source is not None:
            self._sources.append(layer_source)
            if isinstance(layer_source, Inbox):
                self._inbox = layer_source
        try:
            handled = 0
            while True:
                if handled >= MOST_AT_ONCE:
                    # A peer that sends without end must not keep the others waiting.
                    await asyncio.sleep(0)
                    handled = 0
                event = self._next()
                handled += 1
                if event is None:
                    await self._park()
                    handled = 0
                elif event.get("type") in self._passed:
                    await self._pass_on(event)
                else:
                    # Its handler may change what others share.
                    own = event.message() if type(event) is Broadcast else event
                    await self._handle(own)
        finally:
            self._has_ended = True
            self._drop_held("closed", len(self._held))
            # All are cancelled before the wait, which a second cancellation may cut short.
            if tasks := self._stop(pumps):
                await asyncio.wait(tasks)

    def _stop(self, pumps: list[Pump]) -> list[asyncio.Task[None]]:
        if isinstance(self._client, Direct):
            self._client.stop()
        return [pump.stop() for pump in pumps]

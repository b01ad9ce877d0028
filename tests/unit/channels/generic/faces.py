"""One scenario, two faces: consumers written once and run sync and async.

A method of a scenario is a plain function, or a generator that yields each call of a method of the
consumer::

    def connect(self):
        yield self.accept("v1")

The async face awaits what is yielded, the sync face has its result already; both send the result
back in, or raise the error there.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.testing import ApplicationCommunicator

SOCKET = {"type": "websocket"}
CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
ACCEPTED = {"type": "websocket.accept", "subprotocol": None}

Event = dict[str, Any]
Client = ApplicationCommunicator


class Face:
    """The sync or the async classes."""

    def __init__(self, name: str, plain: Any, json: Any) -> None:
        self.name = name
        self.plain = plain
        self.json = json

    def __repr__(self) -> str:
        return self.name

    def consumer(self, *, base: Any = None, **members: Any) -> Any:
        """Return a class with the methods of a scenario."""
        return type(
            "Scenario",
            (base or self.plain,),
            {
                name: member if name == "__init__" else self._member(member)
                for name, member in members.items()
            },
        )

    def json_consumer(self, **members: Any) -> Any:
        """Return a class for JSON with the methods of a scenario."""
        return self.consumer(base=self.json, **members)

    def detached(self, consumer: Any = None) -> tuple[Any, list[Event]]:
        """Return an instance that no server runs, and the list of what it sends."""
        sent: list[Event] = []

        async def keep(event: Event) -> bool:
            sent.append(event)
            return True

        def keep_now(event: Event) -> bool:
            sent.append(event)
            return True

        instance = (consumer or self.plain)()
        instance.scope = dict(SOCKET)
        instance.channel_layer = None
        instance.base_send = keep_now if instance._sync else keep
        return instance, sent

    async def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of an instance that no server runs."""
        result = method(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    def _member(self, member: Any) -> Any:
        if isinstance(member, classmethod):
            return classmethod(self._method(member.__func__))
        return self._method(member) if inspect.isfunction(member) else member

    def _method(self, script: Callable[..., Any]) -> Callable[..., Any]:
        return (_played_now if self is SYNC else _played)(script)


def _played_now(script: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.isgeneratorfunction(script):
        return script

    @functools.wraps(script)
    def method(*args: Any, **kwargs: Any) -> Any:
        steps = script(*args, **kwargs)
        result = None
        while True:
            try:
                result = steps.send(result)
            except StopIteration as end:
                return end.value

    return method


def _played(script: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(script)
    async def method(*args: Any, **kwargs: Any) -> Any:
        if not inspect.isgeneratorfunction(script):
            return script(*args, **kwargs)
        steps = script(*args, **kwargs)
        step = functools.partial(steps.send, None)
        while True:
            try:
                awaitable = step()
            except StopIteration as end:
                return end.value
            try:
                step = functools.partial(steps.send, await awaitable)
            except Exception as error:
                step = functools.partial(steps.throw, error)

    return method


ASYNC = Face("async", AsyncWebsocketConsumer, AsyncJsonWebsocketConsumer)
SYNC = Face("sync", WebsocketConsumer, JsonWebsocketConsumer)


def frame(payload: str | bytes) -> Event:
    """Return the event of a frame from the client."""
    kind = "text" if isinstance(payload, str) else "bytes"
    return {"type": "websocket.receive", kind: payload}


async def opened(consumer: Any, **scope: Any) -> Client:
    """Connect a client that is accepted."""
    client = Client(consumer.as_asgi(), {**SOCKET, **scope})
    await client.send_input(CONNECT)
    assert (await client.receive_output())["type"] == "websocket.accept"
    return client


async def left(client: Client, **event: Any) -> None:
    """Let the client leave, and wait for the end of its consumer."""
    await client.send_input({**DISCONNECT, **event})
    await ended(client)


async def ended(client: Client) -> None:
    """Wait until the consumer has ended by itself; ``wait`` alone would cancel it in silence."""
    await client.wait()
    assert not client.future.cancelled(), "the consumer has not ended"

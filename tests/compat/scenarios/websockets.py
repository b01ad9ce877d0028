"""Contract 03: the four WebSocket consumers. Most scenarios show both faces at once."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import json
from decimal import Decimal
from typing import Any

from django.test import override_settings

from channels.exceptions import AcceptConnection, DenyConnection
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import channel_layers, get_channel_layer
from support import ACCEPTED, BYE, CONNECT, Connection, Event, aoutcome, converse, text

PLAIN = {"async": AsyncWebsocketConsumer, "sync": WebsocketConsumer}
JSON = {"async": AsyncJsonWebsocketConsumer, "sync": JsonWebsocketConsumer}
Call = tuple[str, list[Any], dict[str, Any]]


def _call(name: str, *args: Any, **kwargs: Any) -> Call:
    return name, list(args), kwargs


def _scripted(bases: dict[str, Any], face: str, /, **hooks: Any) -> Any:
    """Build a consumer whose hooks carry out a script.

    A script is a list whose items are calls of the consumer's own methods, exceptions to
    raise, or functions of the consumer and the hook's arguments.
    """

    def shaped(script: list[Any]) -> Any:
        def sync_hook(self: Any, *args: Any, **kwargs: Any) -> None:
            for step in script:
                if isinstance(step, tuple):
                    getattr(self, step[0])(*step[1], **step[2])
                elif callable(step) and not isinstance(step, type):
                    step(self, *args, **kwargs)
                else:
                    raise step

        async def async_hook(self: Any, *args: Any, **kwargs: Any) -> None:
            for step in script:
                if isinstance(step, tuple):
                    await getattr(self, step[0])(*step[1], **step[2])
                elif callable(step) and not isinstance(step, type):
                    step(self, *args, **kwargs)
                else:
                    raise step

        return async_hook if face == "async" else sync_hook

    body = {
        name: shaped(value) if isinstance(value, list) and name != "groups" else value
        for name, value in hooks.items()
    }
    return type("Example", (bases[face],), body)


async def _both(make: Any) -> dict[str, Any]:
    seen = {}
    for face in PLAIN:
        channel_layers.backends = {}
        seen[face] = await make(face)
    return seen


async def _direct(consumer: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of a consumer that was made by hand; return what it sent, or its error."""
    sent: list[Event] = []

    async def collect(event: Event) -> None:
        sent.append(event)

    asynchronous = inspect.iscoroutinefunction(consumer.send)
    consumer.base_send = collect if asynchronous else sent.append
    try:
        result = getattr(consumer, name)(*args, **kwargs)
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        return error
    return sent


async def _directly(bases: dict[str, Any], *calls: Call) -> dict[str, Any]:
    return {
        face: [await _direct(cls(), name, *args, **kwargs) for name, args, kwargs in calls]
        for face, cls in bases.items()
    }


# --- Exact messages


async def accept_messages() -> object:
    """Contract 03, exact messages [run]: ``subprotocol`` always there, ``headers`` if truthy."""
    return await _directly(
        PLAIN,
        _call("accept"),
        _call("accept", "v1"),
        _call("accept", subprotocol="v1", headers=[(b"a", b"b")]),
        _call("accept", headers=[[b"a", b"b"]]),
        _call("accept", headers=((b"a", b"b"),)),
        _call("accept", headers=[]),
        _call("accept", None, {(b"x", b"y"): 1}.keys()),
    )


async def send_messages() -> object:
    """Contract 03, exact messages [run]: one payload key; empty payloads are sent; text wins."""
    return await _directly(
        PLAIN,
        _call("send", "x"),
        _call("send", text_data="x"),
        _call("send", bytes_data=b"x"),
        _call("send", None, b"x"),
        _call("send", ""),
        _call("send", bytes_data=b""),
        _call("send", "x", b"y"),
        _call("send"),
        _call("send", None, None, True),
    )


async def send_with_close() -> object:
    """Contract 03, exact messages [run]: ``close`` of ``send``: True, a code, or nothing."""
    return await _directly(
        PLAIN,
        _call("send", "x", close=True),
        _call("send", "x", close=4001),
        _call("send", "x", close=False),
        _call("send", "x", close=0),
        _call("send", "x", None, 3000),
    )


async def close_messages() -> object:
    """Contract 03, exact messages [run]: code unless None or True, reason if truthy."""
    return await _directly(
        PLAIN,
        _call("close"),
        _call("close", 4000),
        _call("close", code=True),
        _call("close", 0),
        _call("close", 4000, "because"),
        _call("close", reason="because"),
        _call("close", 4000, ""),
    )


async def close_with_false() -> object:
    """Contract 03, quirks: ``close(False)``."""
    return await _directly(PLAIN, _call("close", False))


async def send_of_the_wrong_type() -> object:
    """Contract 03, quirks: ``send(bytes_data="text")``."""
    return await _directly(PLAIN, _call("send", bytes_data="text"))


# --- Receiving


async def receive_gets_one_keyword() -> object:
    """Contract 03, receiving [run]: text first, empty text too; keyword call with one keyword."""
    events = [
        {"text": "x"},
        {"text": ""},
        {"text": "x", "bytes": None},
        {"text": None, "bytes": b"x"},
        {"bytes": b"x"},
        {"bytes": b""},
        {"text": "x", "bytes": b"y"},
    ]

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(
            PLAIN, face, receive=[lambda self, *args, **kwargs: seen.append([list(args), kwargs])]
        )
        frames = [{"type": "websocket.receive", **event} for event in events]
        talk = await converse(application(), CONNECT, *frames, BYE)
        return [talk, seen]

    return await _both(observe)


async def receive_may_declare_text_alone() -> object:
    """Contract 03, receiving: ``receive(self, text_data)`` is enough for text frames."""
    seen: list[str] = []

    class Texts(AsyncWebsocketConsumer):
        async def receive(self, text_data: str) -> None:  # type: ignore[override]
            seen.append(text_data)

    class SyncTexts(WebsocketConsumer):
        def receive(self, text_data: str) -> None:  # type: ignore[override]
            seen.append(text_data)

    for cls in (Texts, SyncTexts):
        await converse(cls(), CONNECT, text("a"), BYE)
    return seen


async def receive_without_a_payload() -> object:
    """Contract 03, receiving [run]: no payload keys at all is a KeyError."""
    return await _both(lambda face: converse(PLAIN[face](), CONNECT, {"type": "websocket.receive"}))


# --- Connecting and disconnecting


async def connect_accepts_by_default() -> object:
    """Contract 03, methods: ``connect`` accepts, ``receive`` and ``disconnect`` do nothing."""
    return await _both(lambda face: converse(PLAIN[face](), CONNECT, text("x"), BYE))


async def signals_accept_and_deny() -> object:
    """Contract 03, methods: AcceptConnection and DenyConnection use overridable methods."""

    async def observe(face: str) -> object:
        return {
            signal.__name__: [
                await converse(_scripted(PLAIN, face, connect=[signal])(), CONNECT, BYE),
                await converse(
                    _scripted(
                        PLAIN,
                        face,
                        connect=[signal()],
                        accept=[_call("base_send", {"type": "websocket.accept", "mine": 1})],
                        close=[_call("base_send", {"type": "websocket.close", "mine": 1})],
                    )(),
                    CONNECT,
                    BYE,
                ),
            ]
            for signal in (AcceptConnection, DenyConnection)
        }

    return await _both(observe)


async def a_connect_that_answers_nothing() -> object:
    """Contract 03, ordering: neither accepted nor closed, the handshake stays open."""

    async def observe(face: str) -> object:
        application = _scripted(PLAIN, face, connect=[], later=[_call("accept", "v2")])
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            layer = get_channel_layer()
            await connection.until(lambda: layer.channels)
            await asyncio.sleep(0.02)
            before = list(connection.outputs)
            await layer.send(next(iter(layer.channels)), {"type": "later"})
            await connection.sent(1)
            connection.feed(BYE)
            return [before, await connection.end(), connection.outputs]

    return await _both(observe)


async def disconnect_gets_the_code_by_position() -> object:
    """Contract 03, methods: one positional argument, whatever the parameter is called."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(
            PLAIN,
            face,
            disconnect=[lambda self, *args, **kwargs: seen.append([list(args), kwargs])],
        )
        talks = [
            await converse(application(), CONNECT, {"type": "websocket.disconnect", **extra})
            for extra in ({"code": 1001}, {"code": 4000, "reason": "gone"})
        ]
        return [[talk["ended"] for talk in talks], seen]

    return await _both(observe)


async def disconnect_without_a_code() -> object:
    """Contract 03, quirks [run]: a disconnect event without ``code``, or of None."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(PLAIN, face, disconnect=[lambda self, code: seen.append(code)])
        events = [{"type": "websocket.disconnect"}, {"type": "websocket.disconnect", "code": None}]
        talks = [await converse(application(), CONNECT, event) for event in events]
        return [[talk["ended"] for talk in talks], seen]

    return await _both(observe)


async def an_error_in_disconnect_propagates() -> object:
    """Contract 03, ordering: an exception in ``disconnect()`` replaces StopConsumer."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, disconnect=[LookupError("mine")])(), CONNECT, BYE
        )
    )


async def code_after_close_still_runs() -> object:
    """Contract 03, ordering: the consumer lives on until the disconnect, which is handled."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(
            PLAIN,
            face,
            receive=[_call("close", 4001), lambda self, **kwargs: seen.append("after close")],
            disconnect=[lambda self, code: seen.append(code)],
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT, text("x"))
            await connection.sent(2)
            await asyncio.sleep(0.02)
            running = not connection.task.done()
            connection.feed({"type": "websocket.disconnect", "code": 4001})
            return [running, await connection.end(), connection.outputs, seen]

    return await _both(observe)


async def a_refused_handshake_is_disconnected() -> object:
    """Contract 03, ordering: after a refusal ``disconnect()`` runs with the server's code."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(
            PLAIN,
            face,
            connect=[_call("close", 4003, "no")],
            disconnect=[lambda self, code: seen.append(code)],
        )
        aborted = {"type": "websocket.disconnect", "code": 1006}
        return [await converse(application(), CONNECT, aborted), seen]

    return await _both(observe)


async def websocket_handlers_can_be_overridden() -> object:
    """Contract 03, names: ``websocket_connect``/``receive``/``disconnect`` with ``super()``."""
    order: list[str] = []

    class Wrapped(AsyncWebsocketConsumer):
        async def websocket_connect(self, message: Event) -> None:
            order.append("connect")
            await super().websocket_connect(message)

        async def websocket_receive(self, message: Event) -> None:
            order.append("receive")
            await super().websocket_receive(message)

        async def websocket_disconnect(self, message: Event) -> None:
            order.append("disconnect")
            await super().websocket_disconnect(message)

    class SyncWrapped(WebsocketConsumer):
        def websocket_connect(self, message: Event) -> None:
            order.append("sync connect")
            super().websocket_connect(message)

        def websocket_receive(self, message: Event) -> None:
            order.append("sync receive")
            super().websocket_receive(message)

        def websocket_disconnect(self, message: Event) -> None:
            order.append("sync disconnect")
            super().websocket_disconnect(message)

    talks = [await converse(cls(), CONNECT, text("x"), BYE) for cls in (Wrapped, SyncWrapped)]
    return [talks, order]


async def client_events_may_come_through_the_layer() -> object:
    """Contract 03, names: receive and disconnect sent to ``channel_name`` act as the client's."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(
            PLAIN,
            face,
            receive=[lambda self, **kwargs: seen.append(kwargs)],
            disconnect=[lambda self, code: seen.append(code)],
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            layer = get_channel_layer()
            await connection.until(lambda: layer.channels)
            name = next(iter(layer.channels))
            await layer.send(name, {"type": "websocket.receive", "text": "by layer"})
            await layer.send(name, {"type": "websocket.disconnect", "code": 1000})
            return [await connection.end(), seen]

    return await _both(observe)


# --- Groups


def _memberships(layer: Any) -> dict[str, int]:
    return {group: len(members) for group, members in sorted(layer.groups.items()) if members}


async def groups_are_joined_before_connect() -> object:
    """Contract 03, groups: joined before ``connect()``, left before ``disconnect()``."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        layer = get_channel_layer()
        note = [lambda self, *args: seen.append(_memberships(layer))]
        application = _scripted(
            PLAIN,
            face,
            groups=["one", "two"],
            connect=[*note, _call("accept")],
            disconnect=note,
        )
        return [await converse(application(), CONNECT, BYE), seen, layer.groups]

    return await _both(observe)


async def groups_may_be_any_iterable() -> object:
    """Contract 03, groups: a tuple, a set, a dict's keys; a name appended later is left too."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        for names in (("a", "b"), {"a"}, {"a": 1, "b": 2}):
            layer = get_channel_layer()
            application = _scripted(PLAIN, face, groups=names)
            async with Connection(application()) as connection:
                connection.feed(CONNECT)
                await connection.sent(1)
                seen.append(_memberships(layer))
                connection.feed(BYE)
                await connection.end()
            seen.append(_memberships(layer))
        return seen

    return await _both(observe)


async def groups_appended_on_the_instance_are_left() -> object:
    """Contract 03, groups: dynamically appended names on the instance are left too."""

    async def observe(face: str) -> object:
        layer = get_channel_layer()
        seen: list[Any] = []
        application = _scripted(
            PLAIN,
            face,
            connect=[lambda self: self.groups.append("later"), _call("join"), _call("accept")],
        )
        if face == "async":

            async def join(self: Any) -> None:
                await self.channel_layer.group_add("later", self.channel_name)
        else:

            def join(self: Any) -> None:
                from asgiref.sync import async_to_sync

                async_to_sync(self.channel_layer.group_add)("later", self.channel_name)

        application.join = join
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            seen.append(_memberships(layer))
            connection.feed(BYE)
            await connection.end()
        return [seen, _memberships(layer), application().groups, PLAIN[face].groups]

    return await _both(observe)


async def group_messages_reach_members() -> object:
    """Contract 03, groups: a group message calls the handler of each member."""

    async def observe(face: str) -> object:
        application = _scripted(PLAIN, face, groups=["room"], say=[_call("send", "said")])
        async with Connection(application()) as ann, Connection(application()) as bob:
            ann.feed(CONNECT)
            bob.feed(CONNECT)
            await ann.sent(1)
            await bob.sent(1)
            await get_channel_layer().group_send("room", {"type": "say"})
            return [await ann.sent(2), await bob.sent(2)]

    return await _both(observe)


class _Groupless:
    """A channel layer without groups."""

    async def new_channel(self) -> str:
        return "groupless!1"

    async def receive(self, channel: str) -> Event:
        await asyncio.sleep(60)
        return {}


async def groups_need_a_layer_with_groups() -> object:
    """Contract 03, groups: absent or groupless layer is InvalidChannelLayerError, if groups."""

    async def observe(face: str) -> object:
        grouped = _scripted(PLAIN, face, groups=["room"])
        seen = []
        with override_settings(CHANNEL_LAYERS={}):
            seen.append(await converse(grouped(), CONNECT))
            seen.append(await converse(PLAIN[face](), CONNECT, BYE))
        channel_layers.backends["default"] = _Groupless()
        seen.append(await converse(grouped(), CONNECT))
        seen.append(await converse(PLAIN[face](), CONNECT, BYE))
        return seen

    return await _both(observe)


async def groups_stay_joined_after_a_refusal() -> object:
    """Contract 03, groups and quirks: joined for refused connections too; left with the end."""

    async def observe(face: str) -> object:
        layer = get_channel_layer()
        application = _scripted(PLAIN, face, groups=["room"], connect=[DenyConnection])
        return [await converse(application(), CONNECT, BYE), _memberships(layer)]

    return await _both(observe)


async def groups_between_a_refusal_and_the_end() -> object:
    """Contract 03, quirks: refused, but the disconnect has not come: are the groups joined?"""

    async def observe(face: str) -> object:
        layer = get_channel_layer()
        application = _scripted(PLAIN, face, groups=["room"], connect=[DenyConnection])
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            await asyncio.sleep(0.02)
            seen = _memberships(layer)
            connection.feed(BYE)
            return [seen, await connection.end(), _memberships(layer)]

    return await _both(observe)


class _Broken(_Groupless):
    """A channel layer whose group methods have a bug of their own."""

    async def group_add(self, group: str, channel: str) -> None:
        raise AttributeError("a bug in the layer")

    group_discard = group_add


async def a_bug_in_the_layers_group_methods() -> object:
    """Contract 03, quirks: an AttributeError inside ``group_add`` itself."""

    async def observe(face: str) -> object:
        channel_layers.backends["default"] = _Broken()
        return (await converse(_scripted(PLAIN, face, groups=["room"])(), CONNECT))["ended"]

    return await _both(observe)


async def denying_with_a_code() -> object:
    """Contract 03, quirks: ``raise DenyConnection(4003)``."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, connect=[DenyConnection(4003)])(), CONNECT, BYE
        )
    )


async def forgetting_super_init() -> object:
    """Contract 03, quirks [run]: a subclass whose ``__init__`` does not call ``super()``."""

    class Forgetful(AsyncWebsocketConsumer):
        def __init__(self) -> None:
            pass

    class SyncForgetful(WebsocketConsumer):
        def __init__(self) -> None:
            pass

    return [await converse(cls(), CONNECT, BYE) for cls in (Forgetful, SyncForgetful)]


def constructors_accept_anything() -> object:
    """Contract 03: ``__init__`` accepts and discards everything and sets ``groups`` if None."""
    return [
        [cls(1, 2, a=3).groups, cls.groups, cls().groups is cls().groups]
        for cls in (*PLAIN.values(), *JSON.values())
    ]


# --- Illegal orders


async def sending_before_accepting() -> object:
    """Contract 03, ordering: a frame before the handshake is answered."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, connect=[_call("send", "early"), _call("accept")])(),
            CONNECT,
            BYE,
        )
    )


async def accepting_twice() -> object:
    """Contract 03, ordering: two accepts in one handshake."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, connect=[_call("accept"), _call("accept")])(), CONNECT, BYE
        )
    )


async def sending_after_closing() -> object:
    """Contract 03, ordering: a frame after ``close()`` in the same handler."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, receive=[_call("close"), _call("send", "late")])(),
            CONNECT,
            text("x"),
            BYE,
        )
    )


async def closing_twice() -> object:
    """Contract 03, ordering: a second ``close()``."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, receive=[_call("close", 4000), _call("close", 4001)])(),
            CONNECT,
            text("x"),
            BYE,
        )
    )


async def sending_in_disconnect() -> object:
    """Contract 03, ordering: a frame from ``disconnect()``, when the peer has gone."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, disconnect=[lambda self, code: None, _call("send", "late")])(),
            CONNECT,
            BYE,
        )
    )


async def closing_in_disconnect() -> object:
    """Contract 03, ordering: ``close()`` from ``disconnect()``, when the peer has gone."""
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, disconnect=[_call("close")])(),
            CONNECT,
            BYE,
        )
    )


async def refusing_with_a_response() -> object:
    """Contract 03, refusing: the extension's raw messages pass through ``base_send``."""
    start = {"type": "websocket.http.response.start", "status": 401, "headers": []}
    body = {"type": "websocket.http.response.body", "body": b"no"}
    return await _both(
        lambda face: converse(
            _scripted(PLAIN, face, connect=[_call("base_send", start), _call("base_send", body)])(),
            CONNECT,
            BYE,
        )
    )


# --- JSON variants


async def json_messages() -> object:
    """Contract 03, JSON: ``send_json`` encodes with json's defaults, ``close`` as in ``send``."""
    return await _directly(
        JSON,
        _call("send_json", {"a": [1, None, True], "é": "ü"}),
        _call("send_json", content="text"),
        _call("send_json", None),
        _call("send_json", {}, close=True),
        _call("send_json", {}, 4001),
        _call("send_json", {"when": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)}),
        _call("send_json", Decimal("1.5")),
    )


async def json_is_decoded_for_receive_json() -> object:
    """Contract 03, JSON: text is decoded, the content passed by position alone."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        application = _scripted(
            JSON,
            face,
            receive_json=[lambda self, *args, **kwargs: seen.append([list(args), kwargs])],
        )
        frames = [text(json.dumps(each)) for each in ({"type": "x"}, [1, 2], "s", 0, None)]
        return [await converse(application(), CONNECT, *frames, BYE), seen]

    return await _both(observe)


async def json_refuses_what_is_no_json() -> object:
    """Contract 03, JSON: empty text or a binary frame is a ValueError, bad text JSONDecodeError."""
    frames = [
        text(""),
        {"type": "websocket.receive", "bytes": b"{}"},
        text("{not json"),
        {"type": "websocket.receive", "bytes": b"{}", "text": None},
    ]

    async def observe(face: str) -> object:
        endings = [(await converse(JSON[face](), CONNECT, frame))["ended"] for frame in frames]
        return [[ending, isinstance(ending, ValueError)] for ending in endings]

    return await _both(observe)


async def json_receive_passes_keywords_on() -> object:
    """Contract 03, JSON: ``receive(text, **kwargs)`` gives ``receive_json(content, **kwargs)``."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        consumer = _scripted(
            JSON, face, receive_json=[lambda self, content, **kw: seen.append([content, kw])]
        )()
        calls = [_call("receive", '{"a": 1}', extra=2), _call("receive", text_data="[]", b=3)]
        for name, args, kwargs in calls:
            await _direct(consumer, name, *args, **kwargs)
        return seen

    return await _both(observe)


async def json_codecs_are_classmethods() -> object:
    """Contract 03, JSON: ``decode_json`` and ``encode_json`` are (async) classmethods."""
    return {
        "sync": [
            JsonWebsocketConsumer.encode_json({"a": 1}),
            JsonWebsocketConsumer.decode_json('{"a": 1}'),
        ],
        "async": [
            await AsyncJsonWebsocketConsumer.encode_json({"a": 1}),
            await AsyncJsonWebsocketConsumer.decode_json('{"a": 1}'),
        ],
        "classmethods": [
            isinstance(inspect.getattr_static(cls, name), classmethod)
            for cls in JSON.values()
            for name in ("decode_json", "encode_json")
        ],
    }


async def json_codecs_can_be_overridden() -> object:
    """Contract 03, JSON: overridden codecs are used both ways."""
    seen: list[Any] = []

    class Loud(AsyncJsonWebsocketConsumer):
        @classmethod
        async def encode_json(cls, content: Any) -> str:
            return f"<{content}>"

        @classmethod
        async def decode_json(cls, text_data: str) -> Any:
            return text_data.strip("<>")

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            seen.append(content)
            await self.send_json(content)

    class SyncLoud(JsonWebsocketConsumer):
        @classmethod
        def encode_json(cls, content: Any) -> str:
            return f"<{content}>"

        @classmethod
        def decode_json(cls, text_data: str) -> Any:
            return text_data.strip("<>")

        def receive_json(self, content: Any, **kwargs: Any) -> None:
            seen.append(content)
            self.send_json(content)

    talks = [await converse(cls(), CONNECT, text("<a>"), BYE) for cls in (Loud, SyncLoud)]
    return [talks, seen]


async def send_json_calls_the_base_class_send() -> object:
    """Contract 03, JSON: ``send_json`` does not call a subclass's override of ``send``."""

    async def observe(face: str) -> object:
        seen: list[Any] = []
        consumer = _scripted(
            JSON, face, send=[lambda self, *args, **kwargs: seen.append("override")]
        )()
        return [await _direct(consumer, "send_json", {"a": 1}), seen]

    return await _both(observe)


async def json_consumers_default_to_silence() -> object:
    """Contract 03, JSON: ``receive_json`` is a no-op by default."""
    return await _both(lambda face: converse(JSON[face](), CONNECT, text("{}"), BYE))


# --- The contract's example, whole


async def the_contracts_room() -> object:
    """Contract 03, example: a room that checks its user, names a subprotocol and broadcasts."""

    class User:
        def __init__(self, known: bool) -> None:
            self.is_authenticated = known

    class Room(AsyncJsonWebsocketConsumer):
        groups = ["lobby"]

        async def connect(self) -> None:
            if not self.scope["user"].is_authenticated:
                raise DenyConnection
            await self.accept(subprotocol="v1", headers=[(b"x-node", b"a")])

        async def receive_json(self, content: Any) -> None:  # type: ignore[override]
            await self.channel_layer.group_send("lobby", {"type": "room.say", "body": content})

        async def room_say(self, event: Event) -> None:
            await self.send_json(event["body"])

    def connection(known: bool) -> Connection:
        scope = {"type": "websocket", "path": "/", "user": User(known)}
        return Connection(Room.as_asgi(), scope)

    async with connection(True) as ann, connection(True) as bob, connection(False) as eve:
        for each in (ann, bob, eve):
            each.feed(CONNECT)
            await each.sent(1)
        eve.feed({"type": "websocket.disconnect", "code": 1006})
        await eve.end()
        ann.feed(text('{"type": "room.say", "n": 1}'))
        seen = {"ann": await ann.sent(2), "bob": await bob.sent(2), "eve": eve.outputs}
        ann.feed(BYE)
        bob.feed(BYE)
        return [seen, await ann.end(), await bob.end(), get_channel_layer().groups]


# --- Contract 13: what servers do


async def optional_keys_may_be_missing() -> object:
    """Contract 13, consequences 1 and 4: a scope of type and path alone is enough."""

    async def observe(face: str) -> object:
        scope = {"type": "websocket", "path": "/"}
        return await converse(JSON[face](), CONNECT, text("{}"), BYE, scope=scope)

    return await _both(observe)


async def a_send_that_fails_in_teardown() -> object:
    """Contract 13, consequences 3: ``send`` raises OSError; are the groups left all the same?"""

    async def observe(face: str) -> object:
        layer = get_channel_layer()
        events = [dict(CONNECT), text("x"), dict(BYE)]

        async def receive() -> Event:
            if not events:
                await asyncio.sleep(60)
            return events.pop(0)

        async def send(event: Event) -> None:
            if event["type"] == "websocket.send":
                raise ConnectionResetError("the peer has gone")

        application = _scripted(PLAIN, face, groups=["room"], receive=[_call("send", "reply")])
        scope = {"type": "websocket", "path": "/"}
        async with asyncio.timeout(5):
            ended = await aoutcome(application()(scope, receive, send))
        return [ended, _memberships(layer)]

    return await _both(observe)


async def an_unanswered_handshake_ends_with_1006() -> object:
    """Contract 13, WebSocket: a handshake nobody answered ends with disconnect 1006."""
    aborted = {"type": "websocket.disconnect", "code": 1006}
    return await _both(
        lambda face: converse(_scripted(PLAIN, face, connect=[])(), CONNECT, aborted)
    )


async def accepted_is_the_first_word() -> object:
    """Contract 03: ``websocket.accept`` precedes every frame that ``connect`` sends."""

    async def observe(face: str) -> object:
        application = _scripted(PLAIN, face, connect=[_call("accept"), _call("send", "hello")])
        talk = await converse(application(), CONNECT, BYE)
        return [talk["sent"][0] == ACCEPTED, talk]

    return await _both(observe)

"""WebSocket consumers: every scenario runs with the sync and with the async face."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import inspect
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from django.utils import translation
from django.utils.translation import gettext_lazy

from channels import db
from channels.consumer import get_handler_name
from channels.exceptions import (
    AcceptConnection,
    DenyConnection,
    InvalidChannelLayerError,
    InvalidFrameError,
    MalformedJSONError,
    NoHandlerError,
    StopConsumer,
)
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from tests.unit.channels.generic.faces import (
    ACCEPTED,
    ASYNC,
    CONNECT,
    DISCONNECT,
    SOCKET,
    SYNC,
    Client,
    Event,
    Face,
    ended,
    frame,
    left,
    opened,
)

pytestmark = pytest.mark.usefixtures("layer")

SCENARIO = "tests.unit.channels.generic.faces.Scenario"


class TestExactMessages:
    @pytest.mark.parametrize(
        ("args", "kwargs", "extra"),
        [
            ((), {}, {}),
            (("v1",), {}, {"subprotocol": "v1"}),
            ((), {"subprotocol": "v1", "headers": []}, {"subprotocol": "v1"}),
            (("v1", [(b"a", b"b")]), {}, {"subprotocol": "v1", "headers": [(b"a", b"b")]}),
            ((), {"headers": [[b"a", b"b"]]}, {"headers": [[b"a", b"b"]]}),
            ((), {"headers": ((b"a", b"b"),)}, {"headers": [(b"a", b"b")]}),
        ],
    )
    async def test_accept(
        self, face: Face, args: tuple[Any, ...], kwargs: dict[str, Any], extra: dict[str, Any]
    ) -> None:
        consumer, sent = face.detached()

        await face.call(consumer.accept, *args, **kwargs)

        assert sent == [{**ACCEPTED, **extra}]

    @pytest.mark.parametrize(
        ("args", "kwargs", "events"),
        [
            (("x",), {}, [{"type": "websocket.send", "text": "x"}]),
            (("",), {}, [{"type": "websocket.send", "text": ""}]),
            ((), {"text_data": "x"}, [{"type": "websocket.send", "text": "x"}]),
            ((), {"bytes_data": b"x"}, [{"type": "websocket.send", "bytes": b"x"}]),
            ((), {"bytes_data": b""}, [{"type": "websocket.send", "bytes": b""}]),
            (("x", b"y"), {}, [{"type": "websocket.send", "text": "x"}]),
            (("x",), {"close": False}, [{"type": "websocket.send", "text": "x"}]),
            (("x",), {"close": 0}, [{"type": "websocket.send", "text": "x"}]),
            (
                ("x",),
                {"close": True},
                [{"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}],
            ),
            (
                ("x", None, 4001),
                {},
                [
                    {"type": "websocket.send", "text": "x"},
                    {"type": "websocket.close", "code": 4001},
                ],
            ),
        ],
    )
    async def test_send(
        self, face: Face, args: tuple[Any, ...], kwargs: dict[str, Any], events: list[Event]
    ) -> None:
        consumer, sent = face.detached()

        answer = await face.call(consumer.send, *args, **kwargs)

        assert sent == events
        assert answer is True

    @pytest.mark.parametrize(
        ("args", "kwargs", "extra"),
        [
            ((), {}, {}),
            ((None,), {}, {}),
            ((True,), {}, {}),
            ((False,), {}, {}),
            ((0,), {}, {"code": 0}),
            ((4001,), {}, {"code": 4001}),
            ((4001, "bye"), {}, {"code": 4001, "reason": "bye"}),
            ((), {"code": 4001, "reason": ""}, {"code": 4001}),
            ((), {"reason": "bye"}, {"reason": "bye"}),
        ],
    )
    async def test_close(
        self, face: Face, args: tuple[Any, ...], kwargs: dict[str, Any], extra: dict[str, Any]
    ) -> None:
        consumer, sent = face.detached()

        await face.call(consumer.close, *args, **kwargs)

        assert sent == [{"type": "websocket.close", **extra}]

    @pytest.mark.parametrize(
        ("payload", "error", "text"),
        [
            ({}, ValueError, "nothing to send: give text_data or bytes_data"),
            ({"bytes_data": "text"}, TypeError, "bytes_data must be bytes, not str"),
            ({"text_data": b"bytes"}, TypeError, "text_data must be str, not bytes"),
            ({"text_data": {"a": 1}}, TypeError, "text_data must be str, not dict"),
        ],
    )
    async def test_what_cannot_be_sent_is_named_and_nothing_is_sent(
        self, face: Face, payload: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        consumer, sent = face.detached()

        with pytest.raises(error) as caught:
            await face.call(consumer.send, **payload)

        assert str(caught.value) == text
        assert sent == []

    async def test_a_lazy_translation_is_sent_in_the_language_of_the_moment(
        self, face: Face
    ) -> None:
        consumer, sent = face.detached()

        with translation.override("de"):
            await face.call(consumer.send, gettext_lazy("Monday"))

        assert sent == [{"type": "websocket.send", "text": "Montag"}]

    async def test_sending_and_closing_goes_through_an_overridden_close(self, face: Face) -> None:
        codes: list[Any] = []
        consumer, sent = face.detached(
            face.consumer(close=lambda self, code=None, reason=None: codes.append(code))
        )

        await face.call(consumer.send, "x", close=4001)

        assert codes == [4001]
        assert len(sent) == 1

    async def test_an_event_of_ones_own_is_sent_by_the_base_class(self, face: Face) -> None:
        consumer, sent = face.detached()

        await face.call(consumer.base_send, {"type": "anything.else"})

        assert sent == [{"type": "anything.else"}]


class TestConstruction:
    @pytest.mark.parametrize("args", [(), ("ignored",)])
    async def test_arguments_are_accepted_and_ignored(
        self, face: Face, args: tuple[Any, ...]
    ) -> None:
        consumer = face.plain(*args, colour="red")

        assert not hasattr(consumer, "colour")

    def test_each_instance_has_groups_of_its_own(self, face: Face) -> None:
        first, second = face.detached()[0], face.detached()[0]

        first.groups.append("room")

        assert second.groups == []
        assert face.plain.groups is None

    def test_groups_of_the_class_stay_as_they_are(self, face: Face) -> None:
        assert face.consumer(groups=("lobby",))().groups == ("lobby",)


class TestReceiving:
    @pytest.mark.parametrize(
        ("event", "keywords"),
        [
            ({"text": "x"}, {"text_data": "x"}),
            ({"text": ""}, {"text_data": ""}),
            ({"text": "x", "bytes": None}, {"text_data": "x"}),
            ({"text": None, "bytes": b"x"}, {"bytes_data": b"x"}),
            ({"bytes": b""}, {"bytes_data": b""}),
        ],
    )
    async def test_a_frame_reaches_receive_as_the_one_keyword_it_has(
        self, face: Face, event: Event, keywords: dict[str, Any]
    ) -> None:
        seen: list[dict[str, Any]] = []
        client = await opened(face.consumer(receive=lambda self, **data: seen.append(data)))

        await client.send_input({"type": "websocket.receive", **event})
        await left(client)

        assert seen == [keywords]

    async def test_an_endpoint_for_text_needs_no_second_parameter(self, face: Face) -> None:
        def receive(self: Any, text_data: str) -> Iterator[Any]:
            yield self.send(text_data.upper())

        client = await opened(face.consumer(receive=receive))

        await client.send_input(frame("ahoy"))

        assert (await client.receive_output())["text"] == "AHOY"
        await left(client)

    async def test_without_receive_a_frame_is_read_and_nothing_happens(self, face: Face) -> None:
        client = await opened(face.plain)

        await client.send_input(frame("x"))
        await left(client)

        assert client.output_queue.empty()

    async def test_a_frame_without_a_payload_key_is_an_error(self, face: Face) -> None:
        client = await opened(face.plain)

        await client.send_input({"type": "websocket.receive"})

        with pytest.raises(KeyError, match="bytes"):
            await client.wait()

    async def test_a_frame_sent_through_the_layer_is_like_one_from_the_client(
        self, face: Face, layer: InMemoryChannelLayer
    ) -> None:
        def receive(self: Any, text_data: str) -> Iterator[Any]:
            yield self.send(text_data)

        client = await opened(face.consumer(receive=receive))
        [channel] = layer.channels

        await layer.send(channel, frame("through the layer"))

        assert (await client.receive_output())["text"] == "through the layer"
        await left(client)

    async def test_handlers_may_be_overridden_and_call_up(self, face: Face) -> None:
        seen: list[str] = []

        def websocket_connect(self: Any, message: Event) -> Iterator[Any]:
            seen.append(message["type"])
            yield face.plain.websocket_connect(self, message)

        def websocket_receive(self: Any, message: Event) -> Iterator[Any]:
            seen.append(message["type"])
            yield face.plain.websocket_receive(self, message)

        def websocket_disconnect(self: Any, message: Event) -> Iterator[Any]:
            seen.append(message["type"])
            yield face.plain.websocket_disconnect(self, message)

        client = await opened(
            face.consumer(
                websocket_connect=websocket_connect,
                websocket_receive=websocket_receive,
                websocket_disconnect=websocket_disconnect,
            )
        )
        await client.send_input(frame("x"))
        await left(client)

        assert seen == ["websocket.connect", "websocket.receive", "websocket.disconnect"]


class WithoutGroups:
    """A layer that has channels and no more."""

    async def new_channel(self) -> str:
        return "a.channel!1"

    async def receive(self, channel: str) -> dict[str, Any]:
        return await asyncio.Queue[dict[str, Any]]().get()


class TestGroups:
    @pytest.mark.parametrize(
        "groups", [["lobby", "hall"], ("lobby", "hall"), {"lobby": 1, "hall": 2}]
    )
    async def test_groups_are_joined_before_connect_and_left_before_disconnect(
        self, face: Face, layer: InMemoryChannelLayer, groups: Any
    ) -> None:
        seen: list[set[str]] = []

        def connect(self: Any) -> Iterator[Any]:
            seen.append(set(layer.groups))
            yield self.accept()

        client = await opened(
            face.consumer(
                groups=groups,
                connect=connect,
                disconnect=lambda self, code: seen.append(set(layer.groups)),
            )
        )
        await left(client)

        assert seen == [{"lobby", "hall"}, set()]

    async def test_a_group_message_reaches_a_handler(
        self, face: Face, layer: InMemoryChannelLayer
    ) -> None:
        def room_say(self: Any, event: Event) -> Iterator[Any]:
            yield self.send(event["body"])

        client = await opened(face.consumer(groups=["lobby"], room_say=room_say))

        await layer.group_send("lobby", {"type": "room.say", "body": "ahoy"})

        assert (await client.receive_output())["text"] == "ahoy"
        await left(client)

    async def test_a_name_added_while_connected_is_left_too(
        self, face: Face, layer: InMemoryChannelLayer
    ) -> None:
        joined: list[str] = []

        def connect(self: Any) -> Iterator[Any]:
            self.groups.append("room")
            joined.append(self.channel_name)
            yield self.accept()

        client = await opened(face.consumer(connect=connect))
        await layer.group_add("room", joined[0])
        await left(client)

        assert layer.groups == {}

    async def test_a_refused_client_has_been_in_the_groups_and_leaves_them(
        self, face: Face, layer: InMemoryChannelLayer
    ) -> None:
        def connect(self: Any) -> None:
            raise DenyConnection

        client = Client(face.consumer(groups=["lobby"], connect=connect).as_asgi(), SOCKET)
        await client.send_input(CONNECT)
        assert await client.receive_output() == {"type": "websocket.close"}
        await left(client, code=1006)

        assert layer.groups == {}

    async def test_a_constructor_that_forgets_its_base_means_no_groups(self, face: Face) -> None:
        client = await opened(face.consumer(__init__=init_alone))

        await left(client)

        assert client.output_queue.empty()

    @override_settings(CHANNEL_LAYERS={})
    async def test_groups_without_a_layer_are_a_mistake_that_is_named(self, face: Face) -> None:
        channel_layers.backends.clear()
        client = Client(face.consumer(groups=["lobby"]).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        with pytest.raises(InvalidChannelLayerError) as caught:
            await client.wait()

        assert str(caught.value) == (
            "Scenario.groups is set, but channel layer 'default' is not configured or has no groups"
        )

    async def test_groups_on_a_layer_without_groups_are_the_same_mistake(self, face: Face) -> None:
        channel_layers.set("default", WithoutGroups())
        client = Client(face.consumer(groups=["lobby"]).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        with pytest.raises(InvalidChannelLayerError, match="has no groups"):
            await client.wait()

    @override_settings(CHANNEL_LAYERS={})
    async def test_without_groups_no_layer_is_needed(self, face: Face) -> None:
        channel_layers.backends.clear()

        client = await opened(face.plain)
        await left(client)

        assert client.output_queue.empty()

    async def test_an_attribute_error_of_the_layer_is_not_taken_for_a_setting(
        self, face: Face
    ) -> None:
        class Broken(InMemoryChannelLayer):
            async def group_add(self, group: str, channel: str) -> None:
                raise AttributeError("the layer's own mistake")

        channel_layers.set("default", Broken())
        client = Client(face.consumer(groups=["lobby"]).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        with pytest.raises(AttributeError, match="the layer's own mistake"):
            await client.wait()


def init_alone(self: Any) -> None:
    """Stand for a constructor that does not call its base class."""


class TestOrder:
    async def test_accepting_is_what_connect_does(self, face: Face) -> None:
        client = Client(face.plain.as_asgi(), SOCKET)

        await client.send_input(CONNECT)

        assert await client.receive_output() == ACCEPTED
        await left(client)

    async def test_raising_accept_connection_accepts_by_the_overridable_method(
        self, face: Face
    ) -> None:
        def connect(self: Any) -> None:
            raise AcceptConnection

        def accept(self: Any) -> Iterator[Any]:
            yield face.plain.accept(self, "v2")

        client = Client(face.consumer(connect=connect, accept=accept).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        assert (await client.receive_output())["subprotocol"] == "v2"
        await left(client)

    @pytest.mark.parametrize(
        ("denial", "extra"),
        [
            (DenyConnection, {}),
            (DenyConnection(), {}),
            (DenyConnection(4001), {"code": 4001}),
            (DenyConnection(4001, "not you"), {"code": 4001, "reason": "not you"}),
            (DenyConnection(reason="not you"), {"reason": "not you"}),
            (DenyConnection("no user with this name"), {}),
        ],
    )
    async def test_raising_deny_connection_refuses_with_what_it_carries(
        self, face: Face, denial: Any, extra: dict[str, Any]
    ) -> None:
        def connect(self: Any) -> None:
            raise denial

        client = Client(face.consumer(connect=connect).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        assert await client.receive_output() == {"type": "websocket.close", **extra}
        await left(client, code=1006)

    async def test_a_refusal_goes_through_an_overridden_close_without_parameters(
        self, face: Face
    ) -> None:
        closed: list[bool] = []

        def connect(self: Any) -> None:
            raise DenyConnection

        def close(self: Any) -> Iterator[Any]:
            closed.append(True)
            yield face.plain.close(self)

        client = Client(face.consumer(connect=connect, close=close).as_asgi(), SOCKET)
        await client.send_input(CONNECT)
        await client.receive_output()
        await left(client)

        assert closed == [True]

    async def test_after_a_refusal_the_consumer_lives_until_its_disconnect(
        self, face: Face
    ) -> None:
        codes: list[int] = []

        def connect(self: Any) -> Iterator[Any]:
            yield self.close(4003)
            codes.append(0)

        client = Client(
            face.consumer(
                connect=connect, disconnect=lambda self, code: codes.append(code)
            ).as_asgi(),
            SOCKET,
        )
        await client.send_input(CONNECT)
        assert await client.receive_output() == {"type": "websocket.close", "code": 4003}
        assert not client.future.done()
        await left(client, code=1006)

        assert codes == [0, 1006]

    async def test_a_connect_that_decides_nothing_leaves_the_handshake_open(
        self, face: Face
    ) -> None:
        client = Client(face.consumer(connect=lambda self: None).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        assert await client.receive_nothing()
        await left(client)

    async def test_code_after_close_still_runs(self, face: Face) -> None:
        ran: list[bool] = []

        def receive(self: Any, text_data: str) -> Iterator[Any]:
            yield self.close()
            ran.append(True)

        client = await opened(face.consumer(receive=receive))
        await client.send_input(frame("bye"))

        assert await client.receive_output() == {"type": "websocket.close"}
        await left(client)
        assert ran == [True]

    @pytest.mark.parametrize(
        ("event", "code"), [({"code": 4001}, 4001), ({"code": 1006}, 1006), ({}, 1005)]
    )
    async def test_disconnect_is_given_the_code_whatever_its_parameter_is_called(
        self, face: Face, event: Event, code: int
    ) -> None:
        codes: list[int] = []
        client = await opened(face.consumer(disconnect=lambda self, why: codes.append(why)))

        await client.send_input({"type": "websocket.disconnect", **event})
        await ended(client)

        assert codes == [code]

    @pytest.mark.parametrize(
        ("event", "reason"), [({"reason": "going home"}, "going home"), ({}, None)]
    )
    async def test_the_peers_reason_can_be_read_in_disconnect(
        self, face: Face, event: Event, reason: str | None
    ) -> None:
        reasons: list[str | None] = []
        client = await opened(
            face.consumer(disconnect=lambda self, code: reasons.append(self.disconnect_reason))
        )

        await left(client, **event)

        assert reasons == [reason]

    async def test_the_database_is_tidied_after_a_disconnect_that_used_it(
        self, face: Face, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        monkeypatch.setattr(db, "close_old_connections", lambda: steps.append("tidied"))

        def disconnect(self: Any, code: int) -> None:
            steps.append("queried")
            self._lane.database_used = True

        client = await opened(face.consumer(disconnect=disconnect))
        await left(client)

        assert steps[-2:] == ["queried", "tidied"]

    async def test_an_error_in_disconnect_is_raised_in_place_of_the_stop(self, face: Face) -> None:
        def disconnect(self: Any, code: int) -> None:
            raise LookupError("the application's own error")

        client = await opened(face.consumer(disconnect=disconnect))
        await client.send_input(DISCONNECT)

        with pytest.raises(LookupError, match="the application's own error"):
            await client.wait()

    async def test_a_disconnect_sent_through_the_layer_is_like_one_from_the_client(
        self, face: Face, layer: InMemoryChannelLayer
    ) -> None:
        codes: list[int] = []
        client = await opened(face.consumer(disconnect=lambda self, code: codes.append(code)))
        [channel] = layer.channels

        await layer.send(channel, DISCONNECT)
        await ended(client)

        assert codes == [1000]


EVENTS = {
    "connect": CONNECT,
    "receive": frame("{}"),
    "receive_json": frame("{}"),
    "disconnect": DISCONNECT,
}


async def handled(face: Face, consumer: Any, event: Event) -> None:
    """Have an instance that no server runs handle ``event``."""
    await face.call(getattr(consumer, get_handler_name(event)), event)


class TestMethodsOfTheOtherKind:
    """``def`` where ``async def`` was meant, and the other way round."""

    @pytest.mark.parametrize("name", EVENTS)
    async def test_a_plain_method_of_an_async_consumer_is_named(self, name: str) -> None:
        def method(self: Any, *args: Any, **kwargs: Any) -> None:
            pass

        method.__name__ = name
        mistaken = type("Mistaken", (ASYNC.json,), {name: method})
        consumer, _ = ASYNC.detached(mistaken)

        with pytest.raises(TypeError) as caught:
            await handled(ASYNC, consumer, EVENTS[name])

        assert str(caught.value) == (
            f"handler {__name__}.Mistaken.{name} of an async consumer must be 'async def'"
        )

    @pytest.mark.parametrize("name", EVENTS)
    async def test_an_async_method_of_a_sync_consumer_is_named(self, name: str) -> None:
        async def method(self: Any, *args: Any, **kwargs: Any) -> None:
            pass

        method.__name__ = name
        mistaken = type("Mistaken", (SYNC.json,), {name: method})
        consumer, _ = SYNC.detached(mistaken)

        with pytest.raises(TypeError) as caught:
            await handled(SYNC, consumer, EVENTS[name])

        assert str(caught.value) == (
            f"handler {__name__}.Mistaken.{name} of a sync consumer must not be 'async def'"
        )

    @pytest.mark.parametrize("name", EVENTS)
    async def test_a_plain_method_may_return_what_is_to_be_awaited(self, name: str) -> None:
        done: list[str] = []

        async def do() -> None:
            done.append(name)

        consumer, _ = ASYNC.detached(
            type("Returning", (ASYNC.json,), {name: lambda self, *args, **kwargs: do()})
        )

        with contextlib.suppress(StopConsumer):
            await handled(ASYNC, consumer, EVENTS[name])

        assert done == [name]

    @pytest.mark.parametrize("name", EVENTS)
    async def test_a_type_error_of_the_methods_own_stays_what_it_is(
        self, face: Face, name: str
    ) -> None:
        def method(self: Any, *args: Any, **kwargs: Any) -> None:
            raise TypeError("await your turn")

        consumer, _ = face.detached(face.json_consumer(**{name: method}))

        with pytest.raises(TypeError, match=r"^await your turn$"):
            await handled(face, consumer, EVENTS[name])


class TestDenyingWithAResponse:
    async def test_a_server_that_can_gets_a_whole_response(self, face: Face) -> None:
        def connect(self: Any) -> Iterator[Any]:
            yield self.deny_with_response(401, b"who are you?", [(b"x-why", b"login")])

        client = Client(
            face.consumer(connect=connect).as_asgi(),
            {**SOCKET, "extensions": {"websocket.http.response": {}}},
        )
        await client.send_input(CONNECT)

        assert await client.receive_output() == {
            "type": "websocket.http.response.start",
            "status": 401,
            "headers": [(b"x-why", b"login")],
        }
        assert await client.receive_output() == {
            "type": "websocket.http.response.body",
            "body": b"who are you?",
            "more_body": False,
        }
        client.stop(exceptions=False)

    async def test_any_other_server_gets_a_plain_refusal(self, face: Face) -> None:
        def connect(self: Any) -> Iterator[Any]:
            yield self.deny_with_response()

        client = Client(face.consumer(connect=connect).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        assert await client.receive_output() == {"type": "websocket.close"}
        await left(client, code=1006)


def echo_json(self: Any, content: Any, **kwargs: Any) -> Iterator[Any]:
    yield self.send_json(content)


class TestJSON:
    @pytest.mark.parametrize("content", [{"a": [1, None, "ä"]}, [], 0, "text", None, True])
    async def test_content_comes_in_decoded_and_goes_out_encoded(
        self, face: Face, content: Any
    ) -> None:
        client = await opened(face.json_consumer(receive_json=echo_json))

        await client.send_input(frame(json.dumps(content)))

        assert await client.receive_output() == {
            "type": "websocket.send",
            "text": json.dumps(content),
        }
        await left(client)

    async def test_content_is_given_by_position(self, face: Face) -> None:
        def receive_json(self: Any, whatever_it_is_called: Any) -> Iterator[Any]:
            yield self.send_json(whatever_it_is_called)

        client = await opened(face.json_consumer(receive_json=receive_json))
        await client.send_input(frame("[1]"))

        assert (await client.receive_output())["text"] == "[1]"
        await left(client)

    async def test_without_receive_json_content_is_read_and_nothing_happens(
        self, face: Face
    ) -> None:
        client = await opened(face.json)

        await client.send_input(frame("{}"))
        await left(client)

        assert client.output_queue.empty()

    async def test_keywords_of_receive_are_passed_on(self, face: Face) -> None:
        seen: list[Any] = []
        consumer, _ = face.detached(
            face.json_consumer(
                receive_json=lambda self, content, **kwargs: seen.append((content, kwargs))
            )
        )

        await face.call(consumer.receive, "[1]", colour="red")

        assert seen == [([1], {"colour": "red"})]

    async def test_send_json_may_close(self, face: Face) -> None:
        consumer, sent = face.detached(face.json)

        answer = await face.call(consumer.send_json, {"a": 1}, close=4001)

        assert answer is True
        assert sent == [
            {"type": "websocket.send", "text": '{"a": 1}'},
            {"type": "websocket.close", "code": 4001},
        ]

    async def test_send_json_does_not_go_through_an_overridden_send(self, face: Face) -> None:
        def send(self: Any, *args: Any, **kwargs: Any) -> None:
            raise AssertionError("the override was called")

        consumer, sent = face.detached(face.json_consumer(send=send))

        await face.call(consumer.send_json, [1])

        assert sent == [{"type": "websocket.send", "text": "[1]"}]

    async def test_another_encoder_and_decoder_may_be_put_in(self, face: Face) -> None:
        client = await opened(
            face.json_consumer(
                receive_json=echo_json,
                decode_json=classmethod(lambda cls, text: decimal.Decimal(text)),
                encode_json=classmethod(lambda cls, content: f"<{content + 1}>"),
            )
        )

        await client.send_input(frame("1.10"))

        assert (await client.receive_output())["text"] == "<2.10>"
        await left(client)

    async def test_encoding_and_decoding_are_of_the_class(self, face: Face) -> None:
        assert await face.call(face.json.encode_json, {"a": 1}) == '{"a": 1}'
        assert await face.call(face.json.decode_json, '{"a": 1}') == {"a": 1}

    @pytest.mark.parametrize(
        "content", [datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), decimal.Decimal(1), {1, 2}]
    )
    async def test_what_json_does_not_know_is_refused_and_nothing_is_sent(
        self, face: Face, content: Any
    ) -> None:
        consumer, sent = face.detached(face.json)

        with pytest.raises(TypeError, match=f"{type(content).__name__} is not JSON serializable"):
            await face.call(consumer.send_json, content)

        assert sent == []


class TestBadInput:
    """Each with the text that stands in the log."""

    @pytest.mark.parametrize(
        ("payload", "error", "text"),
        [
            ("hello", MalformedJSONError, "expected a JSON text frame: Expecting value: "),
            ("{", MalformedJSONError, "expected a JSON text frame: Expecting property name"),
            ("", InvalidFrameError, "expected a text frame with JSON, got an empty frame"),
            (
                b'{"a": 1}',
                InvalidFrameError,
                "expected a text frame with JSON, got a binary frame of 8 bytes",
            ),
        ],
        ids=["not JSON", "half JSON", "empty", "binary"],
    )
    async def test_a_frame_that_is_not_json_ends_the_connection_and_no_handler_runs(
        self, face: Face, payload: str | bytes, error: type[Exception], text: str
    ) -> None:
        seen: list[Any] = []
        client = await opened(
            face.json_consumer(receive_json=lambda self, content: seen.append(content))
        )

        await client.send_input(frame(payload))
        with pytest.raises(error) as caught:
            await client.wait()

        assert str(caught.value).startswith(text)
        assert isinstance(caught.value, ValueError)
        assert seen == []

    @pytest.mark.parametrize(
        "forged",
        [
            {"type": "websocket.disconnect", "code": 1000},
            {"type": "room.say", "body": "forged"},
            {"type": "__init__"},
            {"type": "close"},
            {"type": 7},
        ],
        ids=repr,
    )
    async def test_a_type_of_the_clients_own_is_content_and_reaches_no_handler_and_no_group(
        self, face: Face, layer: InMemoryChannelLayer, forged: Event
    ) -> None:
        seen: list[Any] = []

        def receive_json(self: Any, content: Any) -> Iterator[Any]:
            seen.append(content)
            yield self.send_json("read")

        client = await opened(
            face.json_consumer(
                groups=["lobby"],
                receive_json=receive_json,
                room_say=lambda self, event: seen.append("the handler ran"),
            )
        )

        await client.send_input(frame(json.dumps(forged)))

        assert (await client.receive_output())["text"] == '"read"'
        assert seen == [forged]
        assert client.output_queue.empty()
        assert not client.future.done()
        await left(client)

    @pytest.mark.parametrize(
        ("message", "error", "text"),
        [
            (
                {"type": "no.such"},
                NoHandlerError,
                f"No handler for message type no.such: {SCENARIO} has no method 'no_such'",
            ),
            (
                {"type": "_private"},
                ValueError,
                "Malformed type in message (leading underscore)",
            ),
            (
                {"type": "groups"},
                NoHandlerError,
                f"No handler for message type groups: {SCENARIO}.groups is not callable",
            ),
            ({"kind": "x"}, ValueError, "Incoming message has no 'type' attribute"),
            ({"type": 7}, ValueError, "Malformed type in message: expected a string, not 7"),
        ],
        ids=["unknown", "underscore", "not callable", "none", "no string"],
    )
    async def test_a_group_message_of_a_type_without_a_handler_says_so(
        self,
        face: Face,
        layer: InMemoryChannelLayer,
        message: Event,
        error: type[Exception],
        text: str,
    ) -> None:
        client = await opened(face.consumer(groups=["lobby"]))

        await layer.group_send("lobby", message)
        with pytest.raises(error) as caught:
            await client.wait()

        assert str(caught.value) == text
        assert layer.groups == {}

    @pytest.mark.parametrize("name", ["a room", "r" * 100, "room\n"])
    async def test_a_group_name_against_the_rules_says_what_they_are(
        self, face: Face, layer: InMemoryChannelLayer, name: str
    ) -> None:
        client = Client(face.consumer(groups=["good", name]).as_asgi(), SOCKET)
        await client.send_input(CONNECT)

        with pytest.raises(TypeError) as caught:
            await client.wait()

        assert str(caught.value) == (
            "Group name must be a string of 1 to 99 ASCII letters, digits, hyphens, "
            "underscores or full stops."
        )
        assert layer.groups == {}

    async def test_a_message_that_cannot_be_copied_says_so_and_reaches_nobody(
        self, face: Face, layer: InMemoryChannelLayer
    ) -> None:
        client = await opened(face.consumer(groups=["lobby"]))

        with pytest.raises(TypeError, match=r"message of type 'room.say' cannot be copied: .*lock"):
            await layer.group_send("lobby", {"type": "room.say", "lock": threading.Lock()})

        await left(client)
        assert client.output_queue.empty()


@pytest.mark.parametrize(
    "method",
    [
        name
        for name, member in inspect.getmembers(AsyncWebsocketConsumer, inspect.iscoroutinefunction)
        if not name.startswith("_") and hasattr(WebsocketConsumer, name)
    ],
)
def test_both_faces_have_the_same_parameters(method: str) -> None:
    def parameters(consumer: type) -> list[tuple[str, Any, Any]]:
        found = inspect.signature(getattr(consumer, method)).parameters.values()
        return [(one.name, one.kind, one.default) for one in found]

    for sync, asynchronous in ((SYNC.plain, ASYNC.plain), (SYNC.json, ASYNC.json)):
        if method != "dispatch":
            assert parameters(sync) == parameters(asynchronous)

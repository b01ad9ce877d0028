"""HTTP consumers: one request, its body, its response and its one clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from django.test import override_settings

from channels import db
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.testing import ApplicationCommunicator
from tests.unit.channels.generic.faces import Event, ended

REQUEST = {"type": "http"}


def chunk(body: bytes | None = None, *, more: bool = False) -> Event:
    event: Event = {"type": "http.request", "more_body": more}
    return event if body is None else {**event, "body": body}


def start(status: int = 200, headers: Iterable[Any] = ()) -> Event:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> Event:
    return {"type": "http.response.body", "body": data, "more_body": more}


def detached() -> tuple[AsyncHttpConsumer, list[Event]]:
    """Return an instance that no server runs, and the list of what it sends."""
    sent: list[Event] = []

    async def keep(event: Event) -> bool:
        sent.append(event)
        return True

    consumer = AsyncHttpConsumer()
    consumer.base_send = keep
    return consumer, sent


def outputs(client: ApplicationCommunicator) -> list[Event]:
    """Return what has been sent so far."""
    found: list[Event] = []
    while not client.output_queue.empty():
        found.append(client.output_queue.get_nowait())
    return found


class Recorder(AsyncHttpConsumer):
    """Notes what it is told, and answers with the body it got."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def handle(self, body: bytes) -> None:
        self.log.append(f"handle {body.decode()}")
        await self.send_response(200, body)

    async def disconnect(self) -> None:
        self.log.append("disconnect")


async def asked(consumer: type[Recorder], *events: Event) -> tuple[list[str], list[Event]]:
    """Send the events of one request; return the log and what was sent."""
    log: list[str] = []
    client = ApplicationCommunicator(consumer.as_asgi(log=log), dict(REQUEST))
    for event in events:
        await client.send_input(event)
    await ended(client)
    return log, outputs(client)


class TestSending:
    @pytest.mark.parametrize(
        ("arguments", "event"),
        [
            ({}, start()),
            ({"status": 404}, start(404)),
            ({"headers": None}, start()),
            ({"headers": []}, start()),
            ({"headers": {b"a": b"b", b"c": b"d"}}, start(200, [(b"a", b"b"), (b"c", b"d")])),
            ({"headers": [[b"a", b"b"]]}, start(200, [[b"a", b"b"]])),
            ({"headers": ((b"a", b"b"),)}, start(200, [(b"a", b"b")])),
            ({"headers": ((name, b"b") for name in [b"a"])}, start(200, [(b"a", b"b")])),
            ({"headers": {"Text": "as it is"}}, start(200, [("Text", "as it is")])),
        ],
    )
    async def test_headers_become_a_list_of_pairs_whose_names_and_values_are_untouched(
        self, arguments: dict[str, Any], event: Event
    ) -> None:
        consumer, sent = detached()

        await consumer.send_headers(**arguments)

        assert sent == [event]
        assert type(sent[0]["headers"]) is list

    async def test_a_list_of_headers_stays_the_callers_own(self) -> None:
        consumer, sent = detached()
        headers = [(b"a", b"b")]

        await consumer.send_headers(headers=headers)
        sent[0]["headers"].append((b"set-cookie", b"c"))

        assert headers == [(b"a", b"b")]

    @pytest.mark.parametrize(
        ("arguments", "event"),
        [
            ({}, body(b"x")),
            ({"more_body": False}, body(b"x")),
            ({"more_body": True}, body(b"x", more=True)),
        ],
    )
    async def test_a_body_always_says_whether_there_is_more(
        self, arguments: dict[str, Any], event: Event
    ) -> None:
        consumer, sent = detached()

        await consumer.send_body(b"x", **arguments)

        assert sent == [event]

    @pytest.mark.parametrize("wrong", ["text", None, bytearray(b"x"), 7])
    async def test_a_body_that_is_not_bytes_is_named_and_nothing_is_sent(self, wrong: Any) -> None:
        consumer, sent = detached()

        with pytest.raises(AssertionError) as caught:
            await consumer.send_body(wrong)

        assert str(caught.value) == f"body must be bytes, not {type(wrong).__name__}"
        assert sent == []

    async def test_a_response_is_its_headers_and_its_body(self) -> None:
        consumer, sent = detached()

        await consumer.send_response(404, b"no", headers={b"a": b"b"})

        assert sent == [start(404, [(b"a", b"b")]), body(b"no")]

    @pytest.mark.parametrize("method", ["send_headers", "send_body"])
    async def test_options_are_given_by_name(self, method: str) -> None:
        consumer, _ = detached()

        with pytest.raises(TypeError, match="positional argument"):
            await getattr(consumer, method)(b"x", True)

    async def test_an_event_of_ones_own_goes_out_as_it_is(self) -> None:
        consumer, sent = detached()

        await consumer.send({"type": "http.response.push", "path": "/"})

        assert sent == [{"type": "http.response.push", "path": "/"}]

    def test_constructor_arguments_are_ignored(self) -> None:
        assert AsyncHttpConsumer("x", colour="red").body == []


class TestOneRequest:
    async def test_the_whole_body_is_handled_and_then_it_ends(self) -> None:
        log, sent = await asked(
            Recorder, chunk(b"a", more=True), chunk(b"b", more=True), chunk(b"c")
        )

        assert log == ["handle abc", "disconnect"]
        assert sent == [start(), body(b"abc")]

    @pytest.mark.parametrize(
        "event",
        [{"type": "http.request"}, chunk(), chunk(b""), {"type": "http.request", "body": b""}],
    )
    async def test_a_request_without_a_body_is_handled_with_an_empty_one(
        self, event: Event
    ) -> None:
        log, _ = await asked(Recorder, event)

        assert log == ["handle ", "disconnect"]

    async def test_what_has_come_so_far_can_be_seen(self) -> None:
        seen: list[list[bytes]] = []

        class Watcher(Recorder):
            async def http_request(self, message: Event) -> None:
                seen.append(list(self.body))
                await super().http_request(message)

        await asked(Watcher, chunk(b"a", more=True), chunk(b"b"))

        assert seen == [[], [b"a"]]

    async def test_what_handle_returns_is_ignored(self) -> None:
        class Answering(Recorder):
            async def handle(self, body: bytes) -> Any:
                return "ignored"

        log, sent = await asked(Answering, chunk())

        assert (log, sent) == (["disconnect"], [])

    async def test_without_handle_the_error_says_what_to_write(self) -> None:
        client = ApplicationCommunicator(AsyncHttpConsumer.as_asgi(), dict(REQUEST))
        await client.send_input(chunk())

        with pytest.raises(NotImplementedError) as caught:
            await client.wait()

        assert str(caught.value) == (
            "Subclasses of AsyncHttpConsumer must provide a handle() method."
        )

    async def test_an_error_of_handle_reaches_the_server_after_the_clean_up(self) -> None:
        class Failing(Recorder):
            async def handle(self, body: bytes) -> None:
                raise LookupError("the application's own error")

        log: list[str] = []
        client = ApplicationCommunicator(Failing.as_asgi(log=log), dict(REQUEST))
        await client.send_input(chunk())

        with pytest.raises(LookupError, match="the application's own error"):
            await client.wait()
        assert log == ["disconnect"]

    async def test_cancelling_a_slow_handle_cleans_up_once(self) -> None:
        began = asyncio.Event()

        class Slow(Recorder):
            async def handle(self, body: bytes) -> None:
                began.set()
                await asyncio.Event().wait()

        log: list[str] = []
        client = ApplicationCommunicator(Slow.as_asgi(log=log), dict(REQUEST))
        await client.send_input(chunk())
        await began.wait()

        client.future.cancel()
        await asyncio.wait([client.future])

        assert client.future.cancelled()
        assert log == ["disconnect"]

    async def test_a_client_that_leaves_during_its_upload_is_cleaned_up_after_once(self) -> None:
        log, sent = await asked(Recorder, chunk(b"a", more=True), {"type": "http.disconnect"})

        assert (log, sent) == (["disconnect"], [])

    async def test_the_database_is_tidied_after_a_disconnect_that_used_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        monkeypatch.setattr(db, "close_old_connections", lambda: steps.append("tidied"))

        class Querying(Recorder):
            async def disconnect(self) -> None:
                steps.append("queried")
                self._lane.database_used = True

        await asked(Querying, chunk(b"a", more=True), {"type": "http.disconnect"})

        assert steps[-2:] == ["queried", "tidied"]

    async def test_a_client_that_leaves_while_it_is_handled_changes_nothing(self) -> None:
        class Slow(Recorder):
            async def handle(self, body: bytes) -> None:
                await asyncio.sleep(0.01)
                await super().handle(body)

        log, sent = await asked(Slow, chunk(b"a"), {"type": "http.disconnect"})

        assert log == ["handle a", "disconnect"]
        assert sent == [start(), body(b"a")]

    async def test_stop_consumer_in_handle_ends_it_normally(self) -> None:
        class Stopping(Recorder):
            async def handle(self, body: bytes) -> None:
                raise StopConsumer

        assert await asked(Stopping, chunk()) == (["disconnect"], [])

    async def test_a_stream_is_sent_piece_by_piece(self) -> None:
        class Feed(Recorder):
            async def handle(self, body: bytes) -> None:
                await self.send_headers(headers={b"content-type": b"text/event-stream"})
                for n in range(3):
                    await self.send_body(b"data: %d\n\n" % n, more_body=True)
                await self.send_body(b"")

        log, sent = await asked(Feed, chunk())

        assert log == ["disconnect"]
        assert sent == [
            start(200, [(b"content-type", b"text/event-stream")]),
            *(body(b"data: %d\n\n" % n, more=True) for n in range(3)),
            body(b""),
        ]

    async def test_an_instance_that_serves_a_second_request_starts_with_an_empty_body(
        self,
    ) -> None:
        log: list[str] = []
        instance = Recorder(log)

        for data in (b"first", b"second"):
            client = ApplicationCommunicator(instance, dict(REQUEST))
            await client.send_input(chunk(data))
            await ended(client)

        assert log == ["handle first", "disconnect", "handle second", "disconnect"]


class LongPoll(Recorder):
    """Leaves its response open for messages of the layer."""

    async def handle(self, body: bytes) -> None:
        self.log.append("handle")
        await self.channel_layer.group_add("news", self.channel_name)
        await self.send_headers()
        await self.send_body(b"open", more_body=True)

    async def news(self, message: Event) -> None:
        if message["text"] == "fail":
            raise LookupError("the handler's own error")
        await self.send_body(message["text"].encode(), more_body=message["more"])


def news(text: str, *, more: bool) -> Event:
    return {"type": "news", "text": text, "more": more}


@pytest.fixture
async def layer() -> AsyncIterator[InMemoryChannelLayer]:
    fresh = InMemoryChannelLayer()
    channel_layers.set("default", fresh)
    yield fresh
    channel_layers.backends.clear()


class TestAnOpenResponse:
    async def opened(self, log: list[str]) -> ApplicationCommunicator:
        client = ApplicationCommunicator(LongPoll.as_asgi(log=log), dict(REQUEST))
        await client.send_input(chunk())
        assert await client.receive_output() == start()
        assert await client.receive_output() == body(b"open", more=True)
        return client

    async def test_messages_of_the_layer_go_on_with_it_until_its_last_body(
        self, layer: InMemoryChannelLayer
    ) -> None:
        log: list[str] = []
        client = await self.opened(log)

        await layer.group_send("news", news("more", more=True))
        assert await client.receive_output() == body(b"more", more=True)
        assert log == ["handle"]
        await layer.group_send("news", news("last", more=False))
        await ended(client)

        assert outputs(client) == [body(b"last")]
        assert log == ["handle", "disconnect"]
        assert layer.groups == {}

    async def test_the_client_may_end_it_and_it_is_cleaned_up_once(
        self, layer: InMemoryChannelLayer
    ) -> None:
        log: list[str] = []
        client = await self.opened(log)

        await client.send_input({"type": "http.disconnect"})
        await ended(client)

        assert log == ["handle", "disconnect"]

    @pytest.mark.usefixtures("layer")
    async def test_a_response_that_was_ended_is_not_kept_open(self) -> None:
        log, sent = await asked(Recorder, chunk(b"a"))

        assert log == ["handle a", "disconnect"]
        assert sent == [start(), body(b"a")]

    @override_settings(CHANNEL_LAYERS={})
    async def test_without_a_layer_nothing_could_go_on_with_it(self) -> None:
        class LeftOpen(Recorder):
            async def handle(self, body: bytes) -> None:
                await self.send_headers()
                await self.send_body(b"open", more_body=True)

        channel_layers.backends.clear()
        log, sent = await asked(LeftOpen, chunk())

        assert log == ["disconnect"]
        assert sent == [start(), body(b"open", more=True)]

    async def test_an_instance_that_serves_a_second_request_forgets_the_first(
        self, layer: InMemoryChannelLayer
    ) -> None:
        log: list[str] = []
        instance = LongPoll(log)

        for _ in range(2):
            client = ApplicationCommunicator(instance, dict(REQUEST))
            await client.send_input(chunk(b"a", more=True))
            await client.send_input(chunk(b"b"))
            await client.receive_output()
            await client.receive_output()
            await layer.group_send("news", news("last", more=False))
            await ended(client)

        assert log == ["handle", "disconnect"] * 2

    @pytest.mark.usefixtures("layer")
    async def test_what_a_failed_request_left_open_keeps_no_later_one_open(self) -> None:
        class Failing(Recorder):
            async def handle(self, body: bytes) -> None:
                if body == b"quiet":
                    return
                await self.send_body(b"open", more_body=True)
                raise LookupError

        log: list[str] = []
        instance = Failing(log)
        first = ApplicationCommunicator(instance, dict(REQUEST))
        await first.send_input(chunk())
        with pytest.raises(LookupError):
            await first.wait()

        second = ApplicationCommunicator(instance, dict(REQUEST))
        await second.send_input(chunk(b"quiet"))
        await ended(second)

        assert log == ["disconnect"] * 2

    async def test_an_error_in_a_later_handler_reaches_the_server_after_the_clean_up(
        self, layer: InMemoryChannelLayer
    ) -> None:
        log: list[str] = []
        client = await self.opened(log)

        await layer.group_send("news", news("fail", more=True))
        with pytest.raises(LookupError, match="the handler's own error"):
            await client.wait()

        assert log == ["handle", "disconnect"]
        assert layer.groups == {}

    async def test_cancelling_it_cleans_up_once(self, layer: InMemoryChannelLayer) -> None:
        log: list[str] = []
        client = await self.opened(log)

        client.future.cancel()
        await asyncio.wait([client.future])

        assert log == ["handle", "disconnect"]
        assert layer.groups == {}

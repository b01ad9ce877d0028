"""Contract 11: the test communicators."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import asgiref.testing

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.testing import ApplicationCommunicator, HttpCommunicator, WebsocketCommunicator
from support import Event, aoutcome, atext_of, outcome

note: contextvars.ContextVar[str] = contextvars.ContextVar("note", default="unset")
SHORT = 0.03


class _Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data, bytes_data)


def _scripted(*events: Event, failing: bool = False) -> Any:
    """Return an app that waits for one event, sends ``events`` and waits for another."""

    async def app(scope: Event, receive: Any, send: Any) -> None:
        await receive()
        for event in events:
            await send(event)
        if failing:
            raise LookupError("mine")
        await receive()

    return app


async def _returning(scope: Event, receive: Any, send: Any) -> None:
    await receive()


async def _failing(scope: Event, receive: Any, send: Any) -> None:
    await receive()
    raise LookupError("mine")


async def _waiting(scope: Event, receive: Any, send: Any) -> None:
    await asyncio.sleep(60)


# --- ApplicationCommunicator


async def the_application_starts_with_the_first_use() -> object:
    """Contract 11, ApplicationCommunicator: lazily, with the very scope tests edit before."""
    seen: list[Any] = []

    async def app(scope: Event, receive: Any, send: Any) -> None:
        seen.append(["started", scope is communicator.scope, scope.get("user")])
        await receive()

    communicator = ApplicationCommunicator(app, {"type": "websocket"})
    await asyncio.sleep(0.01)
    seen.append("nothing started yet")
    communicator.scope["user"] = "ann"
    await communicator.send_input({"type": "x"})
    await communicator.wait()
    return [
        seen,
        isinstance(communicator, asgiref.testing.ApplicationCommunicator),
        communicator.application is app,
        isinstance(communicator.input_queue, asyncio.Queue),
        isinstance(communicator.output_queue, asyncio.Queue),
        communicator.future.done(),
    ]


async def the_application_runs_in_an_empty_context() -> object:
    """Contract 11, ApplicationCommunicator: the test's context variables are not visible."""
    seen: list[str] = []

    async def app(scope: Event, receive: Any, send: Any) -> None:
        seen.append(note.get())
        note.set("set by the app")

    note.set("set by the test")
    communicator = ApplicationCommunicator(app, {"type": "x"})
    await communicator.wait()
    return [seen, note.get()]


def communicators_are_made_outside_a_loop() -> object:
    """Contract 11, ApplicationCommunicator: constructible outside a running loop."""
    made = [
        ApplicationCommunicator(_returning, {"type": "x"}),
        HttpCommunicator(_returning, "GET", "/"),
        WebsocketCommunicator(_returning, "/"),
    ]
    return [type(each).__name__ for each in made]


async def legacy_applications_are_adapted() -> object:
    """Contract 11, ApplicationCommunicator: double-callable applications are adapted."""

    def legacy(scope: Event) -> Any:
        async def run(receive: Any, send: Any) -> None:
            await send({"type": "said", "scope": scope["type"]})

        return run

    communicator = ApplicationCommunicator(legacy, {"type": "x"})
    return await communicator.receive_output()


async def send_input_and_receive_output() -> object:
    """Contract 11, ApplicationCommunicator: in order; a finished app just takes the input."""
    communicator = ApplicationCommunicator(_scripted({"type": "a"}, {"type": "b"}), {"type": "x"})
    await communicator.send_input({"type": "go"})
    outputs = [await communicator.receive_output(), await communicator.receive_output()]
    await communicator.send_input({"type": "end"})
    await communicator.wait()
    return [outputs, await aoutcome(communicator.send_input({"type": "late"}))]


async def a_failed_application() -> object:
    """Contract 11, methods: each call re-raises the exception of an app that has failed."""
    seen: dict[str, Any] = {}
    for name in ("send_input", "receive_output", "receive_nothing", "wait", "stop"):
        communicator = ApplicationCommunicator(_failing, {"type": "x"})
        await communicator.send_input({"type": "go"})
        await asyncio.sleep(0.01)
        if name == "stop":
            seen[name] = outcome(communicator.stop)
            continue
        given = [{"type": "late"}] if name == "send_input" else []
        seen[name] = await aoutcome(getattr(communicator, name)(*given))
    return seen


async def outputs_before_a_failure() -> object:
    """Contract 11, receive_output: same check first, then the next message."""
    communicator = ApplicationCommunicator(
        _scripted({"type": "a"}, {"type": "b"}, failing=True), {"type": "x"}
    )
    await communicator.send_input({"type": "go"})
    first = await aoutcome(communicator.receive_output())
    await asyncio.sleep(0.01)
    return [first, await aoutcome(communicator.receive_output())]


async def receive_output_times_out() -> object:
    """Contract 11, receive_output [run]: TimeoutError, the app is cancelled and stays dead."""
    communicator = ApplicationCommunicator(_waiting, {"type": "x"})
    timed_out = await aoutcome(communicator.receive_output(SHORT))
    return [
        timed_out,
        communicator.future.cancelled(),
        await aoutcome(communicator.send_input({"type": "late"})),
        await aoutcome(communicator.receive_output(SHORT)),
        await aoutcome(communicator.receive_nothing(SHORT)),
        await aoutcome(communicator.wait(SHORT)),
    ]


async def receive_output_times_out_on_a_finished_app() -> object:
    """Contract 11, receive_output: an app that ends normally meanwhile, without a word."""
    communicator = ApplicationCommunicator(_returning, {"type": "x"})
    await communicator.send_input({"type": "go"})
    return await aoutcome(communicator.receive_output(SHORT))


async def receive_nothing_tells_and_keeps() -> object:
    """Contract 11, receive_nothing: True if silent, False as soon as queued, nothing consumed."""
    communicator = ApplicationCommunicator(_scripted({"type": "a"}), {"type": "x"})
    silent = await communicator.receive_nothing(SHORT)
    await communicator.send_input({"type": "go"})
    return [
        silent,
        await communicator.receive_nothing(),
        await communicator.receive_output(),
        await communicator.receive_nothing(SHORT, interval=0.005),
        communicator.future.done(),
    ]


async def receive_nothing_from_a_finished_app() -> object:
    """Contract 11, receive_nothing: True for an app that has ended without a word."""
    communicator = ApplicationCommunicator(_returning, {"type": "x"})
    await communicator.send_input({"type": "go"})
    await asyncio.sleep(0.01)
    return await communicator.receive_nothing(SHORT)


async def wait_swallows_its_timeout() -> object:
    """Contract 11, wait [run]: on time-out the app is cancelled, the call returns None."""
    communicator = ApplicationCommunicator(_waiting, {"type": "x"})
    return [await aoutcome(communicator.wait(SHORT)), communicator.future.cancelled()]


async def stop_cancels_or_raises() -> object:
    """Contract 11, stop: cancels a running app, optionally raises the error of a failed one."""
    running = ApplicationCommunicator(_waiting, {"type": "x"})
    _ = running.future
    await asyncio.sleep(0)
    stopped = outcome(running.stop)
    await asyncio.sleep(0.01)

    failed = ApplicationCommunicator(_failing, {"type": "x"})
    await failed.send_input({"type": "go"})
    await asyncio.sleep(0.01)
    return [
        stopped,
        running.future.cancelled(),
        outcome(failed.stop),
        outcome(failed.stop, exceptions=False),
        outcome(ApplicationCommunicator(_waiting, {"type": "x"}).stop),
    ]


async def clean_up_is_patched_while_sending_and_receiving() -> object:
    """Contract 11, ApplicationCommunicator: close_old_connections is a no-op meanwhile."""
    from channels import db

    seen: list[bool] = []
    original = db.close_old_connections

    async def app(scope: Event, receive: Any, send: Any) -> None:
        await receive()
        seen.append(db.close_old_connections is original)
        await send({"type": "a"})
        await receive()

    communicator = ApplicationCommunicator(app, {"type": "x"})
    await communicator.send_input({"type": "go"})
    await communicator.receive_output()
    return [seen, db.close_old_connections is original]


# --- HttpCommunicator


async def http_scope_of_a_request() -> object:
    """Contract 11, HttpCommunicator: the scope, no other keys; query and fragment stripped."""
    full = HttpCommunicator(
        _returning, "post", "/a%20b/%C3%A9?q=1&r=%20#part", b"body", [(b"a", b"b")]
    )
    bare = HttpCommunicator(_returning, "GET", "/")
    return [full.scope, full.body, full.sent_request, bare.scope, bare.body]


def http_body_must_be_bytes() -> object:
    """Contract 11, HttpCommunicator: a body that is not bytes is an AssertionError."""
    return outcome(HttpCommunicator, _returning, "GET", "/", body="text")


async def get_response() -> object:
    """Contract 11, get_response: the start message without type, bodies joined, extras kept."""

    async def app(scope: Event, receive: Any, send: Any) -> None:
        request = await receive()
        start = {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]}
        await send({**start, "extra": 1})
        await send({"type": "http.response.body", "body": request["body"], "more_body": True})
        await send({"type": "http.response.body", "body": b" and more"})

    communicator = HttpCommunicator(app, "PUT", "/", body=b"given")
    response = await communicator.get_response()
    return [response, communicator.sent_request]


async def get_response_without_headers() -> object:
    """Contract 11, get_response: ``headers`` defaults to ``[]``, items unchanged."""
    end = {"type": "http.response.body", "body": b""}
    starts: list[Event] = [
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.start", "status": 200, "headers": [["a", "b"]]},
    ]
    return [
        await HttpCommunicator(_scripted(start, end), "GET", "/").get_response() for start in starts
    ]


async def get_response_of_the_wrong_types() -> object:
    """Contract 11, get_response: other types are AssertionErrors, app errors propagate."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    return [
        await aoutcome(HttpCommunicator(app, "GET", "/").get_response(SHORT))
        for app in (
            _scripted({"type": "http.response.body", "body": b""}),
            _scripted(start, start),
            _failing,
            _waiting,
        )
    ]


async def a_body_message_without_body() -> object:
    """Contract 11, quirks [run]: a legal ``http.response.body`` that omits ``body``."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    app = _scripted(start, {"type": "http.response.body"})
    return await aoutcome(HttpCommunicator(app, "GET", "/").get_response())


# --- WebsocketCommunicator


async def websocket_scope_of_a_connection() -> object:
    """Contract 11, WebsocketCommunicator: the scope, full URLs, decoded path, subprotocols."""
    made = [
        WebsocketCommunicator(_returning, "/a%20b/?v=2", [(b"a", b"b")], ["v1", "v2"]),
        WebsocketCommunicator(_returning, "ws://shop.test:8000/a/?v=2#x"),
        WebsocketCommunicator(_returning, "/"),
    ]
    return [each.scope for each in made]


async def websocket_spec_version() -> object:
    """Contract 11, WebsocketCommunicator: top-level ``spec_version`` only if given."""
    scope = WebsocketCommunicator(_returning, "/", spec_version="2.3").scope
    return [scope["spec_version"], "spec_version" in WebsocketCommunicator(_returning, "/").scope]


async def websocket_spec_version_under_asgi() -> object:
    """Contract 11, quirks: ``spec_version`` belongs under ``scope["asgi"]``."""
    return WebsocketCommunicator(_returning, "/", spec_version="2.3").scope.get("asgi")


def websocket_paths_are_strings() -> object:
    """Contract 11, WebsocketCommunicator: a path that is not a str is a TypeError."""
    return [outcome(WebsocketCommunicator, _returning, each) for each in (b"/", None)]


class _Choosing(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(subprotocol=self.scope["subprotocols"][0], headers=[[b"x-node", b"a"]])


class _Denying(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        raise DenyConnection


class _ClosingWithCode(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close(4003)


async def connecting() -> object:
    """Contract 11, connect: ``(True, subprotocol)`` or ``(False, code or 1000)``."""
    seen = []
    for consumer, subprotocols in [
        (_Echo, None),
        (_Choosing, ["v1"]),
        (_Denying, None),
        (_ClosingWithCode, None),
    ]:
        communicator = WebsocketCommunicator(consumer(), "/", subprotocols=subprotocols)
        before = communicator.response_headers
        connected = await communicator.connect()
        seen.append([before, connected, communicator.response_headers])
        await communicator.disconnect()
    return seen


async def connecting_goes_wrong() -> object:
    """Contract 11, connect: anything else is an AssertionError, app errors propagate."""
    return [
        await aoutcome(WebsocketCommunicator(app, "/").connect(SHORT))
        for app in (_scripted({"type": "websocket.send", "text": "early"}), _failing, _waiting)
    ]


async def a_denial_response() -> object:
    """Contract 11, quirks [run]: the app answers with ``websocket.http.response.start``."""
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]}
    app = _scripted(start, {"type": "websocket.http.response.body", "body": b"no"})
    communicator = WebsocketCommunicator(app, "/")
    return [await aoutcome(communicator.connect(SHORT)), communicator.response_headers]


async def sending_frames() -> object:
    """Contract 11, send_to: exactly one truthy argument of the right type, else AssertionError."""
    communicator = WebsocketCommunicator(_Echo(), "/")
    await communicator.connect()
    seen = []
    for given in ({"text_data": "x"}, {"bytes_data": b"x"}):
        await communicator.send_to(**given)
        seen.append(await communicator.receive_from())
    await communicator.send_to("by position")
    seen.append(await communicator.receive_from())
    refused: list[dict[str, Any]] = [
        {},
        {"text_data": ""},
        {"bytes_data": b""},
        {"text_data": "x", "bytes_data": b"x"},
        {"text_data": b"x"},
        {"bytes_data": "x"},
    ]
    seen += [await aoutcome(communicator.send_to(**given)) for given in refused]
    await communicator.disconnect()
    return seen


async def sending_json() -> object:
    """Contract 11, send_json_to and receive_json_from: json.dumps and json.loads of text."""

    class Json(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json(content)

    communicator = WebsocketCommunicator(Json(), "/")
    await communicator.connect()
    seen: list[Any] = []
    for data in ({"n": 1, "é": None}, [1, "a"], "text", 0):
        await communicator.send_json_to(data)
        seen.append(await communicator.receive_json_from())
    await communicator.disconnect()
    bytes_app = _scripted({"type": "websocket.accept"}, {"type": "websocket.send", "bytes": b"{}"})
    binary = WebsocketCommunicator(bytes_app, "/")
    await binary.connect()
    seen.append(await aoutcome(binary.receive_json_from()))
    return seen


async def receiving_frames() -> object:
    """Contract 11, receive_from: wrong event, not one payload key, wrong payload type."""
    accept = {"type": "websocket.accept"}
    events: list[Event] = [
        {"type": "websocket.send", "text": "x"},
        {"type": "websocket.send", "bytes": b"x"},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.close"},
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": "x", "bytes": b"x"},
        {"type": "websocket.send", "text": "x", "bytes": None},
        {"type": "websocket.send", "text": b"x"},
        {"type": "websocket.send", "bytes": "x"},
    ]
    seen = []
    for event in events:
        communicator = WebsocketCommunicator(_scripted(accept, event), "/")
        await communicator.connect()
        seen.append(await aoutcome(communicator.receive_from()))
    return seen


async def the_text_for_a_wrong_event() -> object:
    """Contract 00, pinned texts: ``receive_from`` names the type it got."""
    app = _scripted({"type": "websocket.accept"}, {"type": "websocket.close"})
    communicator = WebsocketCommunicator(app, "/")
    await communicator.connect()
    said = await atext_of(communicator.receive_from())
    return "Expected type 'websocket.send', but was 'websocket.close'" in said


async def disconnecting() -> object:
    """Contract 11, disconnect: code, fine if ended, re-raises a failure, CancelledError later."""
    codes: list[int] = []

    class Noting(_Echo):
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    class FailingLater(_Echo):
        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            raise LookupError

    class FailingAtLast(_Echo):
        async def disconnect(self, code: int) -> None:
            raise LookupError

    seen: list[Any] = []
    for given in ({}, {"code": 4001}):
        communicator = WebsocketCommunicator(Noting(), "/")
        await communicator.connect()
        seen.append(await aoutcome(communicator.disconnect(**given)))

    failing = WebsocketCommunicator(FailingLater(), "/")
    await failing.connect()
    await failing.send_to("x")
    await asyncio.sleep(0.01)
    seen.append(await aoutcome(failing.disconnect()))

    last = WebsocketCommunicator(FailingAtLast(), "/")
    await last.connect()
    seen.append(await aoutcome(last.disconnect()))

    timed_out = WebsocketCommunicator(_Echo(), "/")
    await timed_out.connect()
    seen.append(await aoutcome(timed_out.receive_from(SHORT)))
    seen.append(await aoutcome(timed_out.disconnect()))

    ended = WebsocketCommunicator(_scripted({"type": "websocket.accept"}), "/")
    await ended.connect()
    await ended.send_input({"type": "end"})
    await asyncio.sleep(0.01)
    seen.append(await aoutcome(ended.disconnect()))
    return [seen, codes]


async def a_consumer_that_closed_can_be_disconnected() -> object:
    """Contract 11, disconnect: fine when the consumer has closed the socket itself."""

    class Closing(_Echo):
        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.close(4002, "done")

    communicator = WebsocketCommunicator(Closing(), "/")
    await communicator.connect()
    await communicator.send_to("x")
    closed = await communicator.receive_output()
    return [closed, await aoutcome(communicator.disconnect())]


async def frames_queued_before_the_disconnect() -> object:
    """Contract 11: what was sent before ``disconnect()`` is handled and can still be read."""
    communicator = WebsocketCommunicator(_Echo(), "/")
    await communicator.connect()
    for each in ("a", "b", "c"):
        await communicator.send_to(each)
    await communicator.disconnect()
    return [
        communicator.output_queue.get_nowait() for _ in range(communicator.output_queue.qsize())
    ]


async def the_contracts_example() -> object:
    """Contract 11, example: scope edited, connected, JSON there and back, disconnected."""

    class Example(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json({**content, "user": self.scope["user"]})

    ws = WebsocketCommunicator(
        Example.as_asgi(), "/echo/?v=2", headers=[(b"origin", b"http://shop.test")]
    )
    ws.scope["user"] = "ann"
    connected = await ws.connect()
    await ws.send_json_to({"n": 1})
    reply = await ws.receive_json_from()
    return [connected, reply, await ws.disconnect()]


async def database_work_without_disconnecting() -> object:
    """Contract 11: a consumer with database work passes when the test never disconnects."""
    from django.db import connection

    class Counting(AsyncConsumer):
        async def websocket_connect(self, event: Event) -> None:
            def ask() -> int:
                with connection.cursor() as cursor:
                    return cursor.execute("SELECT 1").fetchone()[0]

            n = await database_sync_to_async(ask)()
            await self.send({"type": "websocket.accept", "subprotocol": str(n)})

    communicator = WebsocketCommunicator(Counting(), "/")
    return await communicator.connect()


def a_failed_constructor_says_nothing_more() -> object:
    """Contract 11, quirks [run]: the finaliser after a constructor that failed."""
    import gc
    import sys

    ignored: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda report: ignored.append(type(report.exc_value).__name__)
    try:
        outcome(WebsocketCommunicator, _returning, None)
        gc.collect()
    finally:
        sys.unraisablehook = before
    return ignored

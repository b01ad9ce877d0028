"""One WebSocket at a real socket: how it opens, is read, and ends."""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from typing import Any

import pytest
from django.test import override_settings

from channels.exceptions import ChannelFull, ChannelsError, InvalidFrameError, NoRouteError
from channels.server import doorway as doorway_module
from channels.server.doorway import get_doorway
from tests.integration.websocket.conftest import REQUEST, Serve, eventually
from tests.unit.channels.server.frames import client_frame, deflated


class OddCodeError(ChannelsError):
    """An error of an application, whose code no close frame can carry."""

    close_code = 999


class App:
    """Accepts, notes what it receives, and does what the test says.

    Attributes:
        seen: Every event it has received.
        gate: Receives only while set.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.seen: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.scope: Any = None
        self.send: Any = None
        self.was_cancelled = False
        self.outcome: Any = None
        self._answers = answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.send = scope, send
        try:
            self.seen.append(await receive())
            if self._answers:
                await send({"type": "websocket.accept"})
            while True:
                await self.gate.wait()
                event = await receive()
                self.seen.append(event)
                if event["type"] == "websocket.disconnect":
                    break
                if event.get("text") == "echo":
                    await send({"type": "websocket.send", "text": "echo"})
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    @property
    def texts(self) -> list[Any]:
        return [event["text"] for event in self.seen if "text" in event]

    @property
    def end(self) -> Any:
        last = self.seen[-1]
        return (last.get("code"), last.get("reason")) if "code" in last else None


async def test_messages_reach_the_application_one_by_one(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        peer.writer.write(client_frame(0x81, b"one") + client_frame(0x82, b"\xff"))
        peer.send(0x01, b"th")
        peer.send(0x80, b"ree")

        await eventually(lambda: len(app.seen) == 4)
    assert app.seen == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "one"},
        {"type": "websocket.receive", "bytes": b"\xff"},
        {"type": "websocket.receive", "text": "three"},
    ]


async def test_what_comes_before_the_accept_waits_for_it(serve: Serve) -> None:
    app = App(answers=False)
    async with serve(app) as site:
        peer = await site.connect()
        peer.writer.write(b"")
        asking = asyncio.create_task(peer.ask())
        await eventually(lambda: app.seen)
        peer.text("early")
        await asyncio.sleep(0.02)
        assert app.texts == []

        await app.send({"type": "websocket.accept"})

        await asking
        await eventually(lambda: app.texts == ["early"])


async def test_a_flood_is_read_no_further_than_it_is_handled(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()
        app.gate.clear()
        peer.text("first")
        await eventually(lambda: app.texts == ["first"])
        [protocol] = site.protocols

        peer.writer.write(client_frame(0x81, b"x") * 30_000)
        await eventually(lambda: protocol._is_reading_paused)

        assert protocol._reader.pending() <= 300_000
        assert app.texts == ["first"]
        app.gate.set()
        await eventually(lambda: len(app.texts) == 30_001)


async def test_a_ping_is_answered_while_the_application_is_busy(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()
        app.gate.clear()
        peer.text("think")

        peer.send(0x89, b"there?")

        assert await peer.frame() == (0x8A, b"there?")


async def test_the_peers_close_is_answered_and_told(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        peer.send(0x88, (4001).to_bytes(2, "big") + b"bye")

        assert await peer.rest() == b"\x88\x02" + (4001).to_bytes(2, "big")
        await eventually(lambda: app.end == (4001, "bye"))


async def test_messages_before_a_close_are_delivered_before_it(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()
        app.gate.clear()

        peer.writer.write(
            b"".join(client_frame(0x81, text) for text in (b"1", b"2", b"3"))
            + client_frame(0x88, b"\x03\xe8")
        )
        await asyncio.sleep(0.02)
        app.gate.set()

        await eventually(lambda: app.end == (1000, ""))
    assert app.texts == ["1", "2", "3"]


async def test_messages_that_came_whole_are_delivered_although_the_peer_is_gone(
    serve: Serve,
) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()
        app.gate.clear()
        peer.writer.write(client_frame(0x81, b"1") + client_frame(0x81, b"2") + b"\x81")
        await asyncio.sleep(0.02)

        peer.writer.transport.abort()
        await eventually(lambda: not site.state.connections)
        app.gate.set()

        await eventually(lambda: app.end == (1006, ""))
    assert app.texts == ["1", "2"]


async def test_an_application_closes_with_code_and_reason_and_is_told_at_once(
    serve: Serve,
) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        await app.send({"type": "websocket.close", "code": 4002, "reason": "enough"})

        assert await peer.closed() == (4002, "enough")
        await eventually(lambda: app.end == (4002, "enough"))
        assert len(site.state.connections) == 1
        peer.send(0x88, b"\x03\xe8")
        assert await peer.rest() == b""


async def test_a_message_that_crosses_our_close_is_dropped(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        await app.send({"type": "websocket.close"})
        peer.text("crossing")
        peer.send(0x88, b"\x03\xe8")

        assert await peer.closed() == (1000, "")
        assert await peer.rest() == b""
        await eventually(lambda: app.end == (1000, ""))
    assert app.texts == []


async def test_sending_after_the_end_is_an_oserror(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()
        peer.send(0x88)
        await eventually(lambda: app.end)

        for kind in ("websocket.send", "websocket.close", "websocket.accept"):
            with pytest.raises(OSError, match=f"{kind} to a socket that is"):
                await app.send({"type": kind, "text": ""})


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"type": "websocket.accept"}, RuntimeError),
        ({"type": "unknown"}, RuntimeError),
        ({"type": "websocket.close", "code": 1006}, ValueError),
        ({"type": "websocket.send"}, KeyError),
    ],
)
async def test_an_event_that_is_not_allowed_sends_nothing(
    serve: Serve, event: Any, error: type[Exception]
) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        with pytest.raises(error):
            await app.send(event)

        peer.text("echo")
        assert await peer.frame() == (0x81, b"echo")


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (b"\x81\x01a", 1002),
        (client_frame(0x83), 1002),
        (client_frame(0x81, b"\xff"), 1007),
        (b"\x82\xff" + (2**30).to_bytes(8, "big"), 1009),
        (client_frame(0x82, b"x" * 2**20 + b"y"), 1009),
    ],
)
async def test_a_violation_closes_with_its_code_however_much_is_still_sent(
    serve: Serve, received: bytes, code: int
) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        peer.writer.write(received + b"\x00" * 3_000_000)

        assert (await peer.closed())[0] == code
        assert await peer.rest() == b""
        await eventually(lambda: app.end)
    assert app.end[0] == code


async def test_deflate_goes_both_ways(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open(headers="sec-websocket-extensions: permessage-deflate\n")
        assert b"server_no_context_takeover" in peer.answer
        peer.send(0xC1, deflated(b"packed " * 50))
        await eventually(lambda: app.texts == ["packed " * 50])

        await app.send({"type": "websocket.send", "text": "again " * 50})

        first, payload = await peer.frame()
        assert first == 0xC1
        assert zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") == b"again " * 50


async def test_without_deflate_a_compressed_frame_is_a_violation(serve: Serve) -> None:
    async with serve(App(), ws_per_message_deflate=False) as site:
        peer = await site.open(headers="sec-websocket-extensions: permessage-deflate\n")
        assert b"deflate" not in peer.answer

        peer.send(0xC1, deflated(b"x"))

        assert (await peer.closed())[0] == 1002


async def test_an_application_denies_with_a_body_in_pieces(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x-why", b"no"), (b"transfer-encoding", b"chunked")]
        await send(
            {"type": "websocket.http.response.start", "status": 401, "headers": iter(headers)}
        )
        for piece in (b"sign", b" in"):
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
        await send({"type": "websocket.http.response.body"})

    async with serve(app) as site:
        peer = await site.connect()

        head = await peer.ask()

        assert head == b"HTTP/1.1 401 Unauthorized\r\nx-why: no\r\nconnection: close\r\n\r\n"
        assert await peer.rest() == b"sign in"


async def test_a_denial_that_is_left_unfinished_ends_the_connection(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body", "body": b"half", "more_body": True})

    async with serve(app) as site:
        peer = await site.connect()
        await peer.ask()

        assert await peer.rest() == b"half"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]}, "header"),
        ({"type": "websocket.accept", "subprotocol": "a\r\nb: c"}, "no token"),
        ({"type": "websocket.http.response.start", "status": 1000}, "status"),
        (
            {"type": "websocket.http.response.start", "status": 400, "headers": [(b"a b", b"")]},
            "header",
        ),
    ],
)
async def test_an_answer_that_would_inject_is_refused_whole(
    serve: Serve, event: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(event)

    async with serve(app) as site:
        peer = await site.connect()

        assert (await peer.ask()).startswith(b"HTTP/1.1 500 ")
    assert text in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "code", "traceback"),
    [
        (LookupError("deliberate"), b"500", 1011, True),
        (NoRouteError("deliberate"), b"404", 1008, False),
        (InvalidFrameError("deliberate"), b"500", 1003, False),
        (ChannelFull("deliberate"), b"500", 1013, True),
        (OddCodeError("deliberate"), b"500", 1011, True),
    ],
)
async def test_an_error_of_the_application_ends_the_connection_in_its_way(
    serve: Serve,
    error: Exception,
    status: bytes,
    code: int,
    traceback: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/open":
            await send({"type": "websocket.accept"})
        raise error

    async with serve(app) as site:
        refused = await site.connect()
        opened = await site.open("open")

        assert (await refused.ask()).startswith(b"HTTP/1.1 " + status)
        assert await opened.closed() == (code, "")
    assert "deliberate" in caplog.text
    assert ("Traceback" in caplog.text) == traceback


async def test_an_application_that_returns_is_closed_or_refused(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/open":
            await send({"type": "websocket.accept"})

    async with serve(app) as site:
        silent = await site.connect()
        opened = await site.open("open")

        assert (await silent.ask()).startswith(b"HTTP/1.1 500 ")
        assert await opened.closed() == (1000, "")
    assert "the application did not answer" in caplog.text


async def test_what_an_application_sends_to_nobody_is_no_error_of_its_own(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        await send({"type": "websocket.send", "text": "too late"})

    async with serve(app) as site:
        peer = await site.open()
        assert await peer.closed() == (1000, "")
    assert "Traceback" not in caplog.text


async def test_an_application_that_never_answers_is_refused_and_told(
    serve: Serve, counted: Counter[str]
) -> None:
    app = App(answers=False)
    with override_settings(CHANNELS={"HANDSHAKE_TIMEOUT": 0.03}):
        async with serve(app) as site:
            peer = await site.connect()

            assert (await peer.ask()).startswith(b"HTTP/1.1 503 ")
            await eventually(lambda: app.end == (1006, ""))
    assert counted["ConnectionLimited.handshake_timeout"] == 1


async def test_a_request_that_never_comes_is_refused(serve: Serve) -> None:
    with override_settings(CHANNELS={"HANDSHAKE_TIMEOUT": 0.03}):
        async with serve(App()) as site:
            peer = await site.connect()

            assert (await peer.rest()).startswith(b"HTTP/1.1 503 ")


async def test_what_cannot_be_read_or_is_no_handshake_is_refused(serve: Serve) -> None:
    async with serve(App()) as site:
        garbage, wrong = await site.connect(), await site.connect()
        garbage.writer.write(b"\x16\x03\x01\r\n\r\n")
        wrong.writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

        assert (await garbage.rest()).startswith(b"HTTP/1.1 400 ")
        assert (await wrong.rest()).startswith(b"HTTP/1.1 426 ")


async def test_one_connection_too_many_is_refused(serve: Serve, counted: Counter[str]) -> None:
    with override_settings(CHANNELS={"MAX_CONNECTIONS": 2}):
        async with serve(App()) as site:
            await site.open()
            second = await site.open()
            third = await site.connect()

            assert (await third.ask()).startswith(b"HTTP/1.1 503 ")
            assert await third.rest() == b"too many connections\n"
            second.writer.transport.abort()
            await eventually(lambda: len(site.state.connections) == 1)
            await site.open()
    assert counted["ConnectionLimited.max_connections"] == 1


async def test_too_many_messages_in_a_second_close_with_1008(
    serve: Serve, counted: Counter[str]
) -> None:
    app = App()
    with override_settings(CHANNELS={"MESSAGE_RATE": 3}):
        async with serve(app) as site:
            peer = await site.open()
            for number in range(4):
                peer.text(str(number))

            assert await peer.closed() == (1008, "too many messages")
            await eventually(lambda: app.end == (1008, "too many messages"))
    assert app.texts == ["0", "1", "2"]
    assert counted["ConnectionLimited.message_rate"] == 1


async def test_an_idle_client_is_closed_and_one_that_talks_is_not(
    serve: Serve, counted: Counter[str]
) -> None:
    limits = {"IDLE_TIMEOUT": 0.5, "PING_INTERVAL": 0.1, "PING_TIMEOUT": 10}
    with override_settings(CHANNELS=limits):
        async with serve(App()) as site:
            idle, talking = await site.open(), await site.open()
            for _ in range(12):
                talking.text("echo")
                await asyncio.sleep(0.05)

            assert await idle.closed() == (1001, "no message in 0.5 s")
            assert counted["ConnectionLimited.idle_timeout"] == 1
            assert await talking.closed() == (1001, "no message in 0.5 s")


async def test_an_idle_client_is_closed_without_pings_too(serve: Serve) -> None:
    with override_settings(CHANNELS={"IDLE_TIMEOUT": 0.03, "PING_INTERVAL": None}):
        async with serve(App()) as site:
            peer = await site.open()

            assert (await peer.closed())[0] == 1001


async def test_a_peer_that_answers_pings_stays_and_one_that_does_not_is_closed(
    serve: Serve,
) -> None:
    answering_app, silent_app = App(), App()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chosen = silent_app if scope["path"] == "/silent" else answering_app
        await chosen(scope, receive, send)

    with override_settings(CHANNELS={"PING_INTERVAL": 0.1, "PING_TIMEOUT": 0.5}):
        async with serve(app) as site:
            answering, silent = await site.open(), await site.open("silent")
            for _ in range(4):
                assert await answering.frame() == (0x89, b"")
                answering.send(0x8A)

            assert await silent.closed() == (1011, "keepalive ping timeout")
            await eventually(lambda: silent_app.end == (1011, "keepalive ping timeout"))
            assert answering_app.end is None


async def test_pings_without_a_time_out_only_keep_the_way_open(serve: Serve) -> None:
    app = App()
    with override_settings(CHANNELS={"PING_INTERVAL": 0.02, "PING_TIMEOUT": None}):
        async with serve(app) as site:
            peer = await site.open()

            assert await peer.frames(4) == [b""] * 4
            assert app.end is None


async def test_a_peer_that_we_do_not_read_is_never_called_dead(serve: Serve) -> None:
    app = App()
    with override_settings(CHANNELS={"PING_INTERVAL": 0.1, "PING_TIMEOUT": 0.1}):
        async with serve(app) as site:
            peer = await site.open()
            app.gate.clear()
            peer.writer.write(client_frame(0x81, b"unread") * 40_000)
            await eventually(lambda: site.protocols[0]._is_reading_paused)

            await asyncio.sleep(0.5)

            assert app.end is None
            assert site.protocols[0]._state == "open"


async def test_a_peer_that_does_not_answer_our_close_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.server.protocol.CLOSE_TIMEOUT", 0.03)
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        await app.send({"type": "websocket.close"})

        assert await peer.closed() == (1000, "")
        await eventually(lambda: not site.state.connections)


async def test_an_application_that_does_not_end_is_cancelled(serve: Serve) -> None:
    class Stubborn(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await send({"type": "websocket.accept"})
                await asyncio.Event().wait()
            finally:
                self.outcome = "ended"

    app = Stubborn()
    with override_settings(CHANNELS={"DISCONNECT_GRACE": 0.02}):
        async with serve(app) as site:
            peer = await site.open()

            peer.writer.transport.abort()

            await eventually(lambda: app.outcome == "ended")


async def test_receiving_after_the_disconnect_waits_for_ever(serve: Serve) -> None:
    app = App()
    receives: list[Any] = []

    async def keeping(scope: Any, receive: Any, send: Any) -> None:
        receives.append(receive)
        await app(scope, receive, send)

    async with serve(keeping) as site:
        peer = await site.open()
        peer.send(0x88)
        await eventually(lambda: app.end)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receives[0](), 0.02)


async def test_cancelling_receive_takes_nothing(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0.02)
        waiting.cancel()
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    async with serve(app) as site:
        peer = await site.open()
        await asyncio.sleep(0.05)

        peer.text("kept")

        assert await peer.frame() == (0x81, b"kept")


async def test_a_restart_closes_with_1012_and_refuses_who_is_still_asking(serve: Serve) -> None:
    opened_app, asking_app = App(), App(answers=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chosen = asking_app if scope["path"] == "/asking" else opened_app
        await chosen(scope, receive, send)

    async with serve(app) as site:
        opened, asking = await site.open(), await site.connect()
        answer = asyncio.create_task(asking.ask("asking"))
        await eventually(lambda: asking_app.seen)

        for protocol in site.protocols:
            protocol.close_for_restart()

        assert await opened.closed() == (1012, "service restart")
        assert (await answer).startswith(b"HTTP/1.1 503 ")
        await eventually(lambda: opened_app.end == (1012, "service restart"))
        await eventually(lambda: asking_app.end == (1006, ""))
        assert len(site.state.connections) == 1
        opened.send(0x88, b"\x03\xf4")
        await eventually(lambda: not site.state.connections)


async def test_a_shutdown_does_not_wait_for_the_peer(serve: Serve) -> None:
    app = App()
    async with serve(app) as site:
        peer = await site.open()

        site.protocols[0].shutdown()

        assert await peer.closed() == (1012, "service restart")
        await eventually(lambda: not site.state.connections)
        assert app.end == (1012, "service restart")


async def test_who_leaves_while_standing_in_line_is_never_asked_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])

    async with serve(app) as site:
        peer = await site.connect()
        with monkeypatch.context() as patch:
            patch.setattr(doorway_module, "AT_ONCE", 0)
            peer.writer.write(REQUEST % (b"gone", b""))
            await eventually(lambda: site.state.connections)
            [waiting] = site.protocols
            peer.writer.transport.abort()
            await eventually(lambda: not site.state.connections)
        assert waiting._task is None
        doorway = get_doorway()
        for _ in range(3):
            doorway.enter(lambda: None)
            await asyncio.sleep(0)

    assert asked == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]

"""The same consumers under each ASGI server, and where the servers differ.

A test states what the ASGI specification asks for. Where a server does something else, and only
there, ``DEVIATIONS`` says what: one that has gone fails like one that is new.
"""

from __future__ import annotations

import asyncio
import http.client
import inspect
import json
import re
import socket
import struct
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from tests.integration.serving import COMMANDS, Server, serve
from tests.slow import SLOW

DEVIATIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "test_headers_of_the_accept_reach_the_client": {"granian": None, "daphne": None},
    "test_a_refused_consumer_is_told_1006": {
        "hypercorn": [["disconnect", 1000]],
        "granian": [["disconnect", 1005]],
    },
    "test_a_denial_is_a_whole_http_response": {"daphne": (403, None, b"")},
    "test_closing_sends_code_and_reason": {"daphne": (4777, "")},
    # Granian sends the close of a consumer that is idle with the client's next frame.
    "test_a_broadcast_close_closes_with_its_code_and_reason": {
        "daphne": (4010, ""),
        "granian": (1006, ""),
    },
    "test_after_its_own_close_a_consumer_is_told_its_code_and_reason": {
        "hypercorn": [["disconnect", 1000, None]],
        "granian": [["disconnect", 1005, None]],
        "daphne": [["disconnect", 4777, None]],
    },
    "test_the_clients_close_code_and_reason_reach_the_consumer": {
        "hypercorn": [["disconnect", 1006, None]],
        "granian": [["disconnect", 4001, None]],
        "daphne": [["disconnect", 4001, None]],
    },
    "test_a_client_that_closes_without_a_code_is_1005": {"hypercorn": [["disconnect", 1006]]},
    "test_empty_frames_reach_the_client": {"daphne": ["end"]},
    # 1006 and 1005: there was no close frame, or one without a code.
    "test_an_error_in_a_handler_closes_with_1011": {
        "uvicorn": 1006,
        "uvicorn-websockets": 1006,
        "granian": 1005,
    },
    "test_an_error_before_the_answer_refuses_with_500": {"granian": 403},
    "test_a_reset_connection_runs_disconnect_once_and_leaves_the_groups": {
        "uvicorn": [["disconnect", 1005]],
        "granian": [["disconnect", 1005]],
    },
    "test_a_slow_handler_stops_the_reading": {"daphne": False},
    "test_a_server_that_stops_closes_with_1012": {
        "hypercorn": 1011,
        "granian": 1006,
        "daphne": 1006,
    },
}
"""Test to server to what is seen there instead."""

Expected = Callable[[Any], Any]


@pytest.fixture(scope="session", params=COMMANDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serve(request.param, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture
def expected(request: pytest.FixtureRequest, server: Server) -> Iterator[Expected]:
    """Return ``expected(standard)``: the standard, or this server's deviation from it."""
    deviations = DEVIATIONS.get(request.function.__name__, {})
    asked = []

    def expect(standard: Any) -> Any:
        asked.append(standard)
        assert deviations.get(server.name, ...) != standard, "this is no deviation"
        return deviations.get(server.name, standard)

    yield expect
    assert asked, "a test with a row in the table asks for it"


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def quiet(server: Server) -> Iterator[None]:
    """Fail if the server logs an error or a traceback during the test."""
    start = len(server.log())
    yield
    said = server.log(start)
    assert not re.search("^Traceback|ERROR|Exception", said, re.MULTILINE), said


def test_each_deviation_belongs_to_a_test_and_a_server() -> None:
    for name, deviations in DEVIATIONS.items():
        assert "expected" in inspect.signature(globals()[name]).parameters
        assert set(deviations) <= set(COMMANDS)


async def test_people_in_one_room_see_each_others_lines(server: Server, key: str) -> None:
    async with (
        opened(server, f"chat/{key}") as ann,
        opened(server, f"chat/{key}") as bob,
        opened(server, f"chat/{key}-elsewhere") as eve,
    ):
        await ann.send('{"line": "hello, ✓"}')

        assert json.loads(await soon(ann.recv())) == {"line": "hello, ✓"}
        assert json.loads(await soon(bob.recv())) == {"line": "hello, ✓"}
        await eve.send('{"line": "alone"}')
        assert json.loads(await soon(eve.recv())) == {"line": "alone"}


async def test_a_topic_is_served_and_recovered(server: Server, key: str) -> None:
    """Publish while one client is away: it gets all of it, in order, and each once."""
    topics = {"subprotocols": ["channels.topics.v1"]}

    async def ask(websocket: ClientConnection, **frame: Any) -> Any:
        await websocket.send(json.dumps({"topic": f"rooms.{key}", "id": 1, **frame}))
        while (answer := json.loads(await soon(websocket.recv())))["type"] in {"presence", "ping"}:
            pass
        return answer

    async def join(websocket: ClientConnection, **frame: Any) -> Any:
        await websocket.send('{"type": "hello"}')
        assert json.loads(await soon(websocket.recv()))["type"] == "hello"
        return await ask(websocket, type="subscribe", **frame)

    async with opened(server, f"topics/{key}", **topics) as ann:
        assert (await join(ann))["presence"]["members"].values()
        async with opened(server, f"topics/{key}", **topics) as bob:
            position = (await join(bob))["position"]
        for n in range(20):
            first = await ask(ann, type="call", name="say", data={"text": f"line {n} ✓"})
            second = json.loads(await soon(ann.recv()))
            assert {first["type"], second["type"]} == {"reply", "publication"}

        async with opened(server, f"topics/{key}", **topics) as bob:
            answer = await join(bob, position=position)

    assert answer["recovered"]
    assert [each["data"]["text"] for each in answer["publications"]] == [
        f"line {n} ✓" for n in range(20)
    ]


def put_up(*texts: str, kind: str = "websocket.send") -> str:
    return json.dumps([{"type": kind, "text": text} for text in texts])


async def test_a_broadcast_before_the_accept_comes_right_behind_it(
    server: Server, key: str
) -> None:
    async with opened(server, f"wall/{key}") as ann:
        assert await soon(ann.recv()) == "hello"


async def test_a_broadcast_reaches_every_client_without_a_handler(server: Server, key: str) -> None:
    async with opened(server, f"wall/{key}") as ann, opened(server, f"wall/{key}") as bob:
        await soon(ann.recv())
        assert await soon(bob.recv()) == "hello"
        await ann.send(put_up("one ✓"))
        await ann.send(b"\x00\xff")

        assert [await soon(bob.recv()), await soon(bob.recv())] == ["one ✓", b"\x00\xff"]
        assert [await soon(ann.recv()) for _ in range(3)] == ["hello", "one ✓", b"\x00\xff"]


async def test_broadcasts_keep_their_place_among_the_group_s_other_messages(
    server: Server, key: str
) -> None:
    mixed = [
        {"type": "handled" if number % 3 else "websocket.send", "text": str(number)}
        for number in range(60)
    ]
    async with opened(server, f"wall/{key}") as ann, opened(server, f"wall/{key}") as bob:
        for member, hellos in ((ann, 2), (bob, 1)):
            assert [await soon(member.recv()) for _ in range(hellos)] == ["hello"] * hellos
        await ann.send(json.dumps(mixed))

        for member in (ann, bob):
            assert [await soon(member.recv()) for _ in mixed] == [line["text"] for line in mixed]


async def test_a_consumer_that_handles_broadcasts_gets_them_instead(
    server: Server, key: str
) -> None:
    close = '[{"type": "websocket.close", "code": 4000}]'
    async with opened(server, f"wall/{key}") as ann, opened(server, f"signed/{key}") as bob:
        assert await soon(bob.recv()) == "hello - signed"
        await ann.send(put_up("one"))
        await ann.send(close)

        assert [await soon(bob.recv()), await soon(bob.recv())] == ["one - signed", "no 4000"]


async def test_a_broadcast_close_closes_with_its_code_and_reason(
    server: Server, key: str, expected: Expected
) -> None:
    close = '[{"type": "websocket.close", "code": 4010, "reason": "over ✓"}]'
    async with opened(server, f"wall/{key}") as ann, opened(server, f"wall/{key}") as bob:
        await soon(bob.recv())
        await ann.send(close)

        assert await close_seen(bob) == expected((4010, "over ✓"))


async def test_the_consumer_chooses_the_subprotocol(server: Server, key: str) -> None:
    async with opened(server, f"chat/{key}", subprotocols=["other", "chat.v1"]) as websocket:
        assert websocket.subprotocol == "chat.v1"


async def test_headers_of_the_accept_reach_the_client(
    server: Server, key: str, expected: Expected
) -> None:
    async with opened(server, f"chat/{key}") as websocket:
        assert websocket.response is not None

        assert websocket.response.headers.get("x-room") == expected(key)


async def test_closing_before_accepting_refuses_with_403(server: Server, key: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await soon(connect(url(server, f"refusing/{key}")))

    assert refusal.value.response.status_code == 403


async def test_a_refused_consumer_is_told_1006(
    server: Server, key: str, expected: Expected
) -> None:
    with pytest.raises(InvalidStatus):
        await soon(connect(url(server, f"refusing/{key}")))

    assert await noted(server, key) == expected([["disconnect", 1006]])


async def test_a_denial_is_a_whole_http_response(
    server: Server, key: str, expected: Expected
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await soon(connect(url(server, f"denying/{key}")))

    response = refusal.value.response
    seen = response.status_code, response.headers.get("x-why"), bytes(response.body or b"")
    assert seen == expected((401, "anonymous", b"sign in first"))


async def test_a_denied_consumer_is_told_1006(server: Server, key: str, expected: Expected) -> None:
    with pytest.raises(InvalidStatus):
        await soon(connect(url(server, f"denying/{key}")))

    assert await noted(server, key) == expected([["disconnect", 1006]])


async def test_closing_sends_code_and_reason(server: Server, key: str, expected: Expected) -> None:
    async with opened(server, f"closing/{key}") as websocket:
        await websocket.send("close, please")

        assert await close_seen(websocket) == expected((4777, "bye ✓"))


async def test_after_its_own_close_a_consumer_is_told_its_code_and_reason(
    server: Server, key: str, expected: Expected
) -> None:
    async with opened(server, f"closing/{key}") as websocket:
        await websocket.send("close, please")
        await close_seen(websocket)

    assert await noted(server, key) == expected([["disconnect", 4777, "bye ✓"]])


async def test_the_clients_close_code_and_reason_reach_the_consumer(
    server: Server, key: str, expected: Expected
) -> None:
    async with opened(server, f"chat/{key}") as websocket:
        await websocket.close(4001, "moving on ✓")

    assert await noted(server, key) == expected([["disconnect", 4001, "moving on ✓"]])


async def test_a_client_that_closes_without_a_code_is_1005(
    server: Server, key: str, expected: Expected
) -> None:
    async with opened(server, f"sync-echo/{key}") as websocket:
        websocket.transport.write(Frame(Opcode.CLOSE, b"").serialize(mask=True))

        assert await noted(server, key) == expected([["disconnect", 1005]])


@pytest.mark.parametrize("face", ["echo", "sync-echo"])
@pytest.mark.parametrize("frame", ["text ✓", b"\x00\xff", "x" * 2**20], ids=["text", "bytes", "1M"])
async def test_a_frame_comes_back_as_it_went(
    server: Server, key: str, face: str, frame: str | bytes
) -> None:
    async with opened(server, f"{face}/{key}") as websocket:
        await websocket.send(frame)

        assert await soon(websocket.recv()) == frame


async def test_empty_frames_reach_the_consumer(server: Server, key: str) -> None:
    async with opened(server, f"echo/{key}") as websocket:
        await websocket.send("")
        await websocket.send(b"")

        assert await noted(server, key, 2) == [["receive", "", None], ["receive", None, ""]]


async def test_empty_frames_reach_the_client(server: Server, key: str, expected: Expected) -> None:
    seen: list[str | bytes] = []
    async with opened(server, f"echo/{key}") as websocket:
        for frame in ("", b"", "end"):
            await websocket.send(frame)
        while seen[-1:] != ["end"]:
            seen.append(await soon(websocket.recv()))

    assert seen == expected(["", b"", "end"])


async def test_an_error_in_a_handler_closes_with_1011(
    server: Server, key: str, expected: Expected
) -> None:
    start = len(server.log())
    async with opened(server, f"careless/{key}") as websocket:
        await websocket.send(f'"{key}"')

        assert (await close_seen(websocket))[0] == expected(1011)
    assert server.logged(f"deliberate: {key}", start)


async def test_an_error_in_a_handler_is_logged_and_leaves_the_groups(
    server: Server, key: str
) -> None:
    start = len(server.log())
    async with opened(server, f"careless/{key}") as websocket:
        await websocket.send(f'"{key}"')
        await close_seen(websocket)

    assert await members(server, key) == 0
    assert await ask(server, f"/journal/{key}/") == []
    assert server.logged(f"deliberate: {key}", start)


async def test_an_error_before_the_answer_refuses_with_500(
    server: Server, key: str, expected: Expected
) -> None:
    start = len(server.log())
    with pytest.raises(InvalidStatus) as refusal:
        await soon(connect(url(server, f"failing-connect/{key}")))

    assert refusal.value.response.status_code == expected(500)
    assert server.logged("deliberate: connect", start)


@pytest.mark.usefixtures("quiet")
async def test_a_reset_connection_runs_disconnect_once_and_leaves_the_groups(
    server: Server, key: str, expected: Expected
) -> None:
    async with opened(server, f"careless/{key}") as websocket:
        reset(websocket)

    assert await members(server, key) == 0
    assert await noted(server, key) == expected([["disconnect", 1006]])


def close(websocket: ClientConnection) -> None:
    websocket.transport.write(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))


def reset(websocket: ClientConnection) -> None:
    endpoint = websocket.transport.get_extra_info("socket")
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    websocket.transport.abort()


def hang_up(websocket: ClientConnection) -> None:
    websocket.transport.abort()


def break_protocol(websocket: ClientConnection) -> None:
    # Opcode 3 is reserved.
    websocket.transport.write(b"\x83\x80\x00\x00\x00\x00")


LEAVINGS: Final = (close, reset, hang_up, break_protocol)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("unread", [0, 1])
@pytest.mark.parametrize(
    ("face", "size", "pause"),
    [("talkative", 1, 0), ("talkative", 20_000, 0.001), ("sync-talkative", 1, 0)],
    ids=["tight", "bulky", "sync"],
)
async def test_sending_on_to_a_peer_that_leaves_is_quiet(
    server: Server, key: str, face: str, size: int, pause: float, unread: int
) -> None:
    async def leave_during_sends(leave: Any) -> Any:
        own_key = f"{key}-{leave.__name__}"
        async with opened(server, f"{face}/{own_key}") as websocket, drained(websocket):
            await websocket.send(json.dumps([size, pause]))
            await asyncio.sleep(0.05)
            for _ in range(unread):
                await websocket.send("unread")
            leave(websocket)
            return await noted(server, own_key, 2)

    seen = await asyncio.gather(*map(leave_during_sends, LEAVINGS))

    assert seen == [[["nobody is there"], ["disconnect"]]] * len(LEAVINGS)


@pytest.mark.usefixtures("quiet")
async def test_answering_a_peer_that_left_long_ago_is_quiet(server: Server, key: str) -> None:
    async def leave_while_it_thinks(leave: Any) -> Any:
        own_key = f"{key}-{leave.__name__}"
        async with opened(server, f"slow/{own_key}") as websocket:
            await websocket.send("think")
            await asyncio.sleep(0.05)
            leave(websocket)
            return await noted(server, own_key, 2)

    seen = await asyncio.gather(*map(leave_while_it_thinks, LEAVINGS))

    assert seen == [[["answered"], ["disconnect"]]] * len(LEAVINGS)


@pytest.mark.usefixtures("quiet")
async def test_a_group_goes_on_when_a_member_has_gone(server: Server, key: str) -> None:
    async with opened(server, f"chat/{key}") as ann, opened(server, f"chat/{key}") as bob:
        reset(bob)
        for number in range(20):
            await ann.send(f'{{"line": {number}}}')

        assert [json.loads(await soon(ann.recv()))["line"] for _ in range(20)] == list(range(20))
    assert await members(server, key) == 0
    assert len(await noted(server, key, 2)) == 2


async def test_a_slow_handler_stops_the_reading(
    server: Server, key: str, expected: Expected
) -> None:
    piece = "x" * 2**16
    sent = 0
    async with opened(server, f"gated/{key}") as websocket:
        with suppress(TimeoutError):
            while sent < 32 * 2**20:
                await asyncio.wait_for(websocket.send(piece), 0.3 * SLOW)
                sent += len(piece)

        websocket.transport.abort()

    await ask(server, f"/open/{key}/")
    assert (sent < 32 * 2**20) == expected(True)
    assert await noted(server, key) == [["disconnect"]]


async def test_a_server_that_stops_closes_with_1012(
    server: Server, key: str, tmp_path: Path, expected: Expected
) -> None:
    # The same server once more: others still need the first one.
    async with AsyncExitStack() as ends_after_the_server:
        with serve(server.name, tmp_path / "log") as own_server:
            websocket = await ends_after_the_server.enter_async_context(
                opened(own_server, f"chat/{key}")
            )
            stopping = asyncio.create_task(asyncio.to_thread(own_server.stop))
            code, _reason = await close_seen(websocket)
            await stopping

    assert code == expected(1012)


def test_an_http_consumer_answers_with_status_headers_and_body(server: Server, key: str) -> None:
    response, body = server.request(
        f"/whole/{key}/?a=1&b=%C3%A9", method="POST", body=b"x" * 70_000
    )

    assert response.status == 201
    assert response.getheader("X-Query") == "a=1&b=%C3%A9"
    assert response.getheader("x-two") == "2"
    assert body == b"x" * 70_000


def test_an_http_consumer_streams(server: Server, key: str) -> None:
    connection = http.client.HTTPConnection(server.address, timeout=10 * SLOW)
    connection.request("GET", f"/stream/{key}/")
    response = connection.getresponse()

    first = response.read1()
    before = server.get(f"/journal/{key}/")
    rest = response.read()
    connection.close()

    assert (first, rest) == (b"one,", b"two,three")
    assert before == []
    assert server.get(f"/journal/{key}/") == [["disconnect"]]


@pytest.mark.usefixtures("quiet")
async def test_a_client_that_leaves_a_stream_is_quiet(server: Server, key: str) -> None:
    reader, writer = await asyncio.open_connection(*server.address.split(":"))
    writer.write(f"GET /stream/{key}/ HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
    await soon(reader.readuntil(b"one,"))

    writer.transport.abort()

    assert await noted(server, key) == [["disconnect"]]


@contextmanager
def events(server: Server, key: str, last: str = "") -> Iterator[http.client.HTTPResponse]:
    """Read the events of the lines of a key until the end of the block."""
    connection = http.client.HTTPConnection(server.address, timeout=10 * SLOW)
    headers = {"Last-Event-ID": last} if last else {}
    connection.request("GET", f"/events/?topic=lines.{key}", headers=headers)
    yield connection.getresponse()
    connection.close()


def next_event(response: http.client.HTTPResponse) -> tuple[str, Any]:
    """Return the id and the frame of the next event."""
    event_id = response.readline().decode().removeprefix("id: ").strip()
    frame = json.loads(response.readline().decode().removeprefix("data: "))
    assert response.readline() == b"\n"
    return event_id, frame


@pytest.mark.usefixtures("quiet")
def test_events_go_on_where_their_reader_has_left(server: Server, key: str) -> None:
    with events(server, key) as response:
        seen = [response.status, response.getheader("Content-Type")]
        kinds = [next_event(response)[1]["type"] for _ in range(2)]
        server.request(f"/publish/{key}/", method="POST", body="one ✓".encode())
        last, frame = next_event(response)

    assert server.get(f"/readers/{key}/") == 0
    server.request(f"/publish/{key}/", method="POST", body=b"two")
    with events(server, key, last) as response:
        next_event(response)
        _, answer = next_event(response)

    assert (seen, kinds) == ([200, "text/event-stream"], ["hello", "subscribed"])
    assert (frame["offset"], frame["data"]) == (1, "one ✓")
    assert answer["recovered"] is True
    assert answer["publications"] == [{"offset": 2, "data": "two"}]


def url(server: Server, path: str) -> str:
    return f"ws://{server.address}/{path}/"


@asynccontextmanager
async def opened(server: Server, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """Open a WebSocket that is closed at the end of the block."""
    async with connect(
        url(server, path), compression=None, max_size=None, close_timeout=5 * SLOW, **options
    ) as websocket:
        yield websocket


async def soon(awaitable: Any) -> Any:
    """Await what takes no time unless something is broken."""
    return await asyncio.wait_for(awaitable, 10 * SLOW)


@asynccontextmanager
async def drained(websocket: ClientConnection) -> AsyncIterator[None]:
    """Read what comes until the end of the block, so that it does not hold up the server."""

    async def read() -> None:
        with suppress(ConnectionClosed):
            while True:
                await websocket.recv()

    reading = asyncio.create_task(read())
    yield
    reading.cancel()
    await asyncio.wait([reading])


async def close_seen(websocket: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the server's close frame; 1006 means that there was none.

    Under load granian now and then leaves the socket open after the closing handshake.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(websocket.wait_closed(), 5 * SLOW)
    frame = websocket.protocol.close_rcvd
    return (frame.code, frame.reason) if frame else (1006, "")


async def ask(server: Server, path: str) -> Any:
    """Return the JSON at ``path``."""
    return await asyncio.to_thread(server.get, path)


async def noted(server: Server, key: str, lines: int = 1) -> Any:
    """Return the journal under ``key`` once it has that many lines."""
    return await ask(server, f"/journal/{key}/?lines={lines}")


async def members(server: Server, group: str) -> Any:
    """Return how many members the group has, once there is none or after a while."""
    return await ask(server, f"/members/{group}/?most=0")

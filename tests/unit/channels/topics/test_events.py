"""Topics as server-sent events, over an ASGI server that is played here."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from asgiref.testing import ApplicationCommunicator

from channels import telemetry
from channels.publish import apublish
from channels.testing import HttpCommunicator
from channels.topics import (
    Limits,
    Presence,
    Reliable,
    Topic,
    TopicEvents,
    Volatile,
    adisconnect_user,
    events,
    local,
    upkeep,
)
from channels.topics.session import Session
from channels.topics.site import here
from tests.slow import SLOW

Unique = Callable[[str], str]


class Person:
    """Stands for a user."""

    def __init__(self, pk: int) -> None:
        self.pk = pk

    def get_username(self) -> str:
        return f"person {self.pk}"


class Board(Topic, pattern="board.<str:key>"):
    """Reliable, for everybody but those called so."""

    delivery = Reliable()
    key: str

    async def authorize(self) -> bool:
        return not self.key.startswith("private")


class Ticker(Topic, pattern="ticker.<str:key>"):
    """Volatile."""

    delivery = Volatile()
    key: str

    async def authorize(self) -> bool:
        return True


class Hall(Topic, pattern="hall.<str:key>"):
    """With presence."""

    presence = True
    presence_grace = 0.05
    key: str

    def authorize(self) -> bool:
        return True


class Received(NamedTuple):
    """One event."""

    id: str
    frame: dict[str, Any]


class Reader:
    """A client of events.

    Args:
        topics: To ask for.
        last: Its ``Last-Event-ID``.
        user: Who it is.
        send: What stands before the server's ``send``, if anything.
        **query: Further fields.
    """

    def __init__(
        self, *topics: str, last: str = "", user: Any = None, method: str = "GET", **query: str
    ) -> None:
        fields = [("topic", topic) for topic in topics] + list(query.items())
        headers = [(b"last-event-id", last.encode())] if last else []
        self.http = HttpCommunicator(
            TopicEvents.as_asgi(), method, f"/events/?{urlencode(fields)}", headers=headers
        )
        self.http.scope["user"] = user
        self.id = ""

    async def start(self) -> list[tuple[bytes, bytes]]:
        """Send the request, and return the headers of its response."""
        await self.http.send_input({"type": "http.request", "body": b"", "more_body": False})
        start = await self.http.receive_output(5 * SLOW)
        assert start["status"] == 200
        headers: list[tuple[bytes, bytes]] = start["headers"]
        return headers

    async def next(self) -> Received:
        """Return the next event."""
        output = await self.http.receive_output(5 * SLOW)
        assert output["more_body"], "the response has ended"
        first, second, *rest = output["body"].decode().split("\n")
        assert rest == ["", ""]
        assert first.startswith("id: ")
        assert second.startswith("data: ")
        self.id = first[4:]
        return Received(self.id, json.loads(second[6:]))

    async def frame(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a type, passing over others."""
        while True:
            frame = (await self.next()).frame
            if frame["type"] == kind:
                return frame

    async def end(self) -> None:
        """Return when the response has ended, as it should."""
        output = await self.http.receive_output(5 * SLOW)
        assert output == {"type": "http.response.body", "body": b"", "more_body": False}
        await ended(self.http)

    async def leave(self) -> None:
        """Break the connection."""
        await self.http.send_input({"type": "http.disconnect"})
        await ended(self.http)


async def ended(http: ApplicationCommunicator) -> None:
    """Return when the application has ended by itself."""
    await asyncio.wait([http.future], timeout=5 * SLOW)
    assert http.future.done()
    await http.wait()


@asynccontextmanager
async def reading(*topics: str, **options: Any) -> AsyncIterator[Reader]:
    """Read the events of these topics until the end of the block."""
    reader = Reader(*topics, **options)
    await reader.start()
    yield reader
    await reader.leave()


@pytest.fixture
def unique() -> Unique:
    """Return ``unique("board")``: a topic of this test's own."""
    return lambda kind: f"{kind}.{uuid.uuid4().hex}"


async def test_the_first_frame_is_hello_then_each_topic_is_answered(unique: Unique) -> None:
    board, ticker, private = unique("board"), unique("ticker"), f"board.private-{uuid.uuid4().hex}"
    reader = Reader(board, ticker, private, "no.such", client="me")

    headers = await reader.start()
    hello = await reader.next()
    answers = {each.frame["topic"]: each.frame for each in [await reader.next() for _ in range(4)]}

    assert dict(headers) == {
        b"content-type": b"text/event-stream",
        b"cache-control": b"no-cache",
        b"x-accel-buffering": b"no",
    }
    assert hello.id == ""
    assert {"type": "hello", "version": 1, "client": "me"}.items() <= hello.frame.items()
    assert {answer["id"] for answer in answers.values()} == {-1}
    assert answers[board]["type"] == answers[ticker]["type"] == "subscribed"
    assert answers[board]["recovered"] is False
    assert answers[private]["code"] == "denied"
    assert answers["no.such"]["code"] == "unknown_topic"
    assert reader.id == f"{board}={answers[board]['position']}"
    await reader.leave()


async def test_each_event_has_the_positions_as_they_are_after_it(unique: Unique) -> None:
    one, two, ticker = unique("board"), unique("board"), unique("ticker")
    async with reading(one, two, ticker) as reader:
        await reader.frame("hello")
        for _ in range(3):
            await reader.frame("subscribed")
        first = await apublish(one, "a")
        second = await apublish(two, "b")
        await apublish(ticker, "c")
        seen = [await reader.next() for _ in range(3)]

    assert [each.frame["data"] for each in seen] == ["a", "b", "c"]
    zero = str(second).replace(":1", ":0")
    assert {f"{one}={first}", f"{two}={zero}"} == set(seen[0].id.split("&"))
    assert {f"{one}={first}", f"{two}={second}"} == set(seen[1].id.split("&"))
    assert seen[2].id == seen[1].id


@pytest.mark.parametrize("how", ["Last-Event-ID", "position", "both"])
async def test_a_reader_that_comes_back_has_what_it_missed(unique: Unique, how: str) -> None:
    board = unique("board")
    first = await apublish(board, 1)
    position = await apublish(board, 2)
    await apublish(board, 3)
    last = f"{quote(board)}={position}"
    options = {
        "Last-Event-ID": {"last": last},
        "position": {"position": last},
        "both": {"last": last, "position": f"{board}={first}"},
    }[how]

    async with reading(board, **options) as reader:
        hello = await reader.next()
        subscribed = await reader.next()

    assert hello.id == last
    assert subscribed.frame["publications"] == [{"offset": 3, "data": 3}]
    assert subscribed.frame["recovered"] is True
    assert subscribed.id == f"{board}={subscribed.frame['position']}"


async def test_recent_publications_come_with_the_answer(unique: Unique) -> None:
    board = unique("board")
    for number in range(4):
        await apublish(board, number)

    async with reading(board, recent="2") as reader:
        frame = await reader.frame("subscribed")

    assert [each["data"] for each in frame["publications"]] == [2, 3]


async def test_a_publication_may_exclude_a_reader_by_its_client(unique: Unique) -> None:
    board = unique("board")
    async with reading(board, client="me") as reader:
        await reader.frame("subscribed")
        position = await apublish(board, 1, exclude="me")
        frame = await reader.frame("publication")

        assert frame == {"type": "publication", "topic": board, "offset": 1, "skipped": True}
        assert reader.id == f"{board}={position}"


async def test_more_topics_than_allowed_are_refused(
    unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TopicEvents, "limits", Limits(topics=1))
    async with reading(unique("board"), unique("board")) as reader:
        assert (await reader.frame("error"))["code"] == "too_many_topics"
        await reader.frame("subscribed")


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "DELETE"])
async def test_other_methods_are_refused_whatever_their_body(method: str) -> None:
    http = HttpCommunicator(TopicEvents.as_asgi(), method, "/events/?topic=board.1")
    await http.send_input({"type": "http.request", "body": b"x", "more_body": True})

    http.sent_request = True
    response = await http.get_response(5 * SLOW)

    assert (response["status"], response["body"]) == (405, b"expected GET\n")
    assert (b"allow", b"GET") in response["headers"]


@pytest.mark.parametrize(
    ("query", "says"),
    [("", b"expected a topic in the query"), ("?topic=a&recent=x", b"recent: expected a whole")],
)
async def test_a_bad_query_is_refused_with_what_is_wrong(query: str, says: bytes) -> None:
    http = HttpCommunicator(TopicEvents.as_asgi(), "GET", f"/events/{query}")

    response = await http.get_response(5 * SLOW)

    assert response["status"] == 400
    assert response["body"].startswith(says)
    assert response["headers"] == [(b"content-type", b"text/plain; charset=utf-8")]


async def test_a_body_behind_the_request_changes_nothing(unique: Unique) -> None:
    board = unique("board")
    reader = Reader(board)
    await reader.http.send_input({"type": "http.request", "body": b"x", "more_body": True})
    await reader.http.receive_output(5 * SLOW)
    await reader.http.send_input({"type": "http.request", "body": b"y", "more_body": False})
    await reader.frame("subscribed")

    await apublish(board, 1)

    assert (await reader.frame("publication"))["data"] == 1
    await reader.leave()


async def test_pings_come_as_events(unique: Unique) -> None:
    async with reading(unique("ticker")) as reader:
        await reader.frame("subscribed")
        await upkeep.ping(here())

        assert (await reader.next()).frame == {"type": "ping"}


async def test_a_reader_is_present_until_it_has_left_for_a_while(unique: Unique) -> None:
    hall = unique("hall")
    async with reading(hall, user=Person(7)) as reader:
        frame = await reader.frame("subscribed")
        assert frame["presence"]["members"] == {"7": {"name": "person 7"}}
        async with reading(hall, user=Person(8)) as other:
            await other.frame("subscribed")
            assert (await reader.frame("presence"))["joined"] == {"8": {"name": "person 8"}}
        assert (await reader.frame("presence"))["left"] == ["8"]
        assert await Presence(hall).acount() == 1


async def test_who_is_signed_out_is_told_so_and_the_response_ends(unique: Unique) -> None:
    person = Person(9)
    reader = Reader(unique("board"), user=person)
    await reader.start()
    await reader.frame("subscribed")
    await adisconnect_user(person)

    frame = await reader.frame("goodbye")

    assert frame["code"] == "signed_out"
    assert frame["reconnect"] is False
    await reader.end()
    assert not [one for one in here().connections.values() if one.user is person]  # type: ignore[attr-defined]


async def test_before_a_restart_readers_are_asked_to_come_back(unique: Unique) -> None:
    assert events.open_responses() == []
    reader = Reader(unique("board"))
    await reader.start()
    await reader.frame("subscribed")

    for session in events.open_responses():
        session.end_for_restart()

    frame = await reader.frame("goodbye")
    assert (frame["code"], frame["reconnect"]) == ("restart", True)
    await reader.end()
    assert events.open_responses() == []


class Slow:
    """A server whose client takes nothing until it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.bodies: asyncio.Queue[bytes] = asyncio.Queue()
        self.is_complete = asyncio.Event()

    async def send(self, event: dict[str, Any]) -> None:
        await self.gate.wait()
        if event["type"] == "http.response.body":
            self.bodies.put_nowait(event["body"])
            if not event["more_body"]:
                self.is_complete.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(5 * SLOW):
            while text not in await self.bodies.get():
                pass

    def application(self) -> Any:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            await TopicEvents.as_asgi()(scope, receive, self.send)

        return application


async def start(server: Slow, topic: str) -> ApplicationCommunicator:
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [],
        "query_string": f"topic={topic}".encode(),
    }
    http = ApplicationCommunicator(server.application(), scope)
    await http.send_input({"type": "http.request"})
    await server.until(b'"subscribed"')
    return http


async def test_a_hole_ends_the_response_so_that_the_reader_comes_back(
    unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "CAPACITY", 5)
    monkeypatch.setattr(here(), "local", local.LocalLayer())
    board = unique("board")
    server = Slow()
    http = await start(server, board)
    dropped = telemetry.totals["MessageDropped.full"]
    server.gate.clear()
    for number in range(20):
        await apublish(board, number)
    assert telemetry.totals["MessageDropped.full"] > dropped

    server.gate.set()
    await apublish(board, "the last")
    await asyncio.sleep(0.01)
    await apublish(board, "behind the hole")
    async with asyncio.timeout(5 * SLOW):
        await server.is_complete.wait()
    await ended(http)

    seen = []
    while not server.bodies.empty():
        seen.append(server.bodies.get_nowait().partition(b"\n")[0].rpartition(b":")[2])
    # Without a hole from the first on; then the end.
    assert seen == [*(str(number + 1).encode() for number in range(len(seen) - 1)), b""]
    assert 1 < len(seen) < 20


async def test_events_of_several_tasks_come_in_the_order_of_their_ids(unique: Unique) -> None:
    board = unique("board")
    server = Slow()
    http = await start(server, board)
    (session,) = events.open_responses()
    held = server.gate
    held.clear()
    await apublish(board, 1)
    await asyncio.sleep(0.01)
    # Whoever sends now finds no gate.
    server.gate = asyncio.Event()
    server.gate.set()

    second = asyncio.create_task(session.send('{"type":"pong"}'))
    await asyncio.sleep(0.01)
    held.set()
    await second

    assert b'"offset":1' in await server.bodies.get()
    assert b'"pong"' in await server.bodies.get()
    await http.send_input({"type": "http.disconnect"})
    await ended(http)


async def test_a_reader_that_takes_nothing_for_long_is_left(
    unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STALLED", 0.05)
    board = unique("board")
    server = Slow()
    http = await start(server, board)
    before = telemetry.totals["FrameDropped.disconnected"]
    server.gate.clear()

    await apublish(board, 1)

    await ended(http)
    assert telemetry.totals["FrameDropped.disconnected"] == before + 1
    assert not here().topics[board].subscribers


async def test_a_reader_that_takes_no_answer_is_left_too(
    unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STALLED", 0.05)
    server = Slow()
    scope = {"type": "http", "method": "GET", "headers": [], "query_string": b"topic=ticker.1"}
    http = ApplicationCommunicator(server.application(), scope)
    opened: list[Session] = []
    do = Session.do

    async def note(self: Session, frame: Any) -> None:
        opened.append(self)
        await do(self, frame)
        server.gate.clear()

    monkeypatch.setattr(Session, "do", note)
    await http.send_input({"type": "http.request"})

    await ended(http)

    assert opened
    assert opened[0].channel not in here().connections

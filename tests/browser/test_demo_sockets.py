"""What the demo's sockets refuse, and what they answer to a client that makes things up."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.browser.demo_site import DemoSite, TopicClient

SOCKETS = ["/ws/topics/", "/ws/waves/"]
ROOM = "room.harbour"


def line(text: Any) -> dict[str, Any]:
    return {"ref": str(uuid.uuid4()), "text": text}


@pytest.fixture
def client(site: DemoSite) -> Iterator[Callable[[str], TopicClient]]:
    """Return ``client("ann")``, a connection to the topics as somebody, or as nobody."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(site.topics(name))


@pytest.fixture
def ann(client: Callable[[str], TopicClient]) -> TopicClient:
    """Ann's connection, in the harbour."""
    ann = client("ann")
    ann.subscribe(ROOM)
    return ann


@pytest.fixture
def bob(client: Callable[[str], TopicClient]) -> TopicClient:
    """Bob's, in the harbour too."""
    bob = client("bob")
    bob.subscribe(ROOM)
    return bob


@pytest.fixture
def waves(site: DemoSite) -> Iterator[ClientConnection]:
    """One of Ann's waves."""
    with site.socket("/ws/waves/", name="ann") as websocket:
        yield websocket


@pytest.mark.parametrize("path", SOCKETS)
def test_a_page_of_a_foreign_origin_gets_no_socket(site: DemoSite, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        site.socket(path, name="ann", origin="https://evil.example")

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("topic", [ROOM, "notes.1", "figures"])
def test_a_stranger_gets_no_topic(client: Callable[[str], TopicClient], topic: str) -> None:
    answer = client("").subscribe(topic)

    assert (answer["type"], answer["code"]) == ("error", "denied")


@pytest.mark.parametrize("path", ["/chat/room/harbour/", "/notes/", "/dashboard/"])
def test_a_stranger_is_sent_to_the_sign_in_page(site: DemoSite, path: str) -> None:
    assert site.get(path) == f"{site.url}/sign-in/?next={path}"


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("room.nowhere", "denied"),
        ("room." + "x" * 90, "denied"),
        ("room." + "x" * 200, "invalid_frame"),
        ("room.", "unknown_topic"),
        ("notes.2147483648", "denied"),
        ("notes.ann", "unknown_topic"),
        ("secrets", "unknown_topic"),
    ],
)
def test_a_topic_that_does_not_exist_is_refused(
    client: Callable[[str], TopicClient], topic: str, code: str
) -> None:
    answer = client("ann").subscribe(topic)

    assert (answer["type"], answer["code"]) == ("error", code)


def test_nobody_gets_the_notes_of_somebody_else(client: Callable[[str], TopicClient]) -> None:
    answers = {
        name: [client(name).subscribe(f"notes.{user_id}").get("code") for user_id in (1, 2)]
        for name in ("ann", "bob")
    }

    assert answers == {"ann": [None, "denied"], "bob": ["denied", None]}


@pytest.mark.parametrize(
    "forged",
    [
        {"type": "publication", "topic": ROOM, "data": line("forged"), "offset": 1},
        {"type": "presence", "topic": ROOM, "version": 9, "joined": {"9": {"name": "mallory"}}},
        {"type": "websocket.disconnect", "code": 1000},
        {"type": "websocket.send", "text": "forged"},
        {"type": "wave.splash"},
    ],
    ids=lambda forged: forged["type"],
)
def test_a_type_that_a_client_makes_up_reaches_nobody_else(
    ann: TopicClient, bob: TopicClient, forged: dict[str, Any]
) -> None:
    ann.send(forged)
    answer = ann.next("error")
    ann.call(ROOM, "say", line("honest"))

    assert answer["code"] == "invalid_frame"
    assert bob.next("publication")["data"]["text"] == "honest"


@pytest.mark.parametrize(
    "text", ["", "null", "1", "[]", "{}", "not JSON", '{"type": 1}', '{"type": "\\ud800"}']
)
def test_a_frame_that_is_none_is_answered_and_the_socket_stays_open(
    ann: TopicClient, text: str
) -> None:
    ann.websocket.send(text)
    answer = ann.next("error")

    assert answer["code"] == "invalid_frame"
    assert ann.call(ROOM, "say", line("still open"))["data"]["text"] == "still open"


@pytest.mark.parametrize("name", ["shout", "authorize", "member", "__init__"])
def test_only_what_is_marked_can_be_called(ann: TopicClient, name: str) -> None:
    assert ann.call(ROOM, name, line("hello"))["code"] == "unknown_call"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "Type something first."),
        (" \n ", "Type something first."),
        ("x" * 501, "Ensure this value has at most 500 characters (it has 501)."),
        ("\x00", "Null characters are not allowed."),
    ],
)
def test_a_line_that_cannot_be_said_is_answered_with_the_reason(
    ann: TopicClient, text: Any, answer: str
) -> None:
    refusal = ann.call(ROOM, "say", line(text))

    assert (refusal["code"], refusal["message"]) == ("not_said", answer)


@pytest.mark.parametrize("text", [None, 5, ["x"]])
def test_a_line_that_is_no_text_is_refused(ann: TopicClient, text: Any) -> None:
    assert ann.call(ROOM, "say", line(text))["code"] == "invalid_data"


@pytest.mark.parametrize("ref", [None, "", "1", 5, {"a": 1}, ["x"]])
def test_a_line_without_a_proper_reference_is_refused(ann: TopicClient, ref: Any) -> None:
    assert ann.call(ROOM, "say", {"ref": ref, "text": "hello"})["code"] == "invalid_data"


def test_a_line_that_is_said_twice_is_stored_once(ann: TopicClient, bob: TopicClient) -> None:
    once = line("once")

    answers = [ann.call(ROOM, "say", once) for _ in range(2)]

    assert answers[0]["data"] == answers[1]["data"] == bob.next("publication")["data"]


def test_a_position_of_the_future_or_of_another_life_is_a_gap(
    ann: TopicClient, client: Callable[[str], TopicClient]
) -> None:
    epoch, _ = ann.subscribe(ROOM)["position"].split(":")

    gaps = [
        client("bob").subscribe(ROOM, position=position)["gap"]
        for position in (f"{epoch}:{2**52}", "another:1")
    ]

    assert gaps == ["future", "epoch"]


def test_a_frame_that_is_too_large_is_answered(ann: TopicClient) -> None:
    ann.websocket.send("x" * 65_537)

    assert ann.next("error")["code"] == "too_large"


def test_a_client_that_speaks_another_protocol_is_told(site: DemoSite) -> None:
    with (
        site.socket("/ws/topics/", name="ann") as websocket,
        pytest.raises(ConnectionClosed) as end,
    ):
        websocket.recv(timeout=10)

    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 3400


# The plain consumer


def test_a_stranger_makes_no_waves(site: DemoSite) -> None:
    with site.socket("/ws/waves/") as websocket, pytest.raises(ConnectionClosed) as closed:
        websocket.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "Sign in first.")


def test_a_splash_reaches_every_wave(site: DemoSite, waves: ClientConnection) -> None:
    with site.socket("/ws/waves/", name="bob") as other:
        other.send("{}")  # answered, so it is in the group
        other.recv(timeout=10)

        waves.send('{"action": "splash"}')

        for each in (waves, other):
            assert json.loads(each.recv(timeout=10)) == {"kind": "splash"}


@pytest.mark.parametrize(
    "content",
    [None, 1, "splash", [], {}, {"action": "shout"}, {"type": "wave.splash"}, {"type": "close"}],
    ids=json.dumps,
)
def test_what_is_no_splash_is_answered_and_reaches_no_handler(
    waves: ClientConnection, content: Any
) -> None:
    waves.send(json.dumps(content))

    answer = json.loads(waves.recv(timeout=10))
    assert answer == {"kind": "error", "text": 'The only action is "splash".'}

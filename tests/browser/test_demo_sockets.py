"""What the demo's sockets refuse, and what they answer to a client that makes things up."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.browser.demo_site import DemoSite

CHAT = "/ws/chat/harbour/"
SOCKETS = [CHAT, "/ws/notes/", "/ws/figures/"]
UNKNOWN_ACTION = {"kind": "error", "text": 'Unknown action; the only one is "say".'}


def frame(websocket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next frame of one kind, passing over the others."""
    while True:
        content: dict[str, Any] = json.loads(websocket.recv(timeout=10))
        if content["kind"] == kind:
            return content


def say(text: Any) -> dict[str, Any]:
    return {"action": "say", "ref": str(uuid.uuid4()), "text": text}


@pytest.fixture
def chat(site: DemoSite) -> Iterator[ClientConnection]:
    """Ann's socket in the harbour, after its history."""
    with site.socket(CHAT, name="ann") as websocket:
        frame(websocket, "members")
        yield websocket


@pytest.mark.parametrize("path", SOCKETS)
def test_a_page_of_a_foreign_origin_gets_no_socket(site: DemoSite, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        site.socket(path, name="ann", origin="https://evil.example")

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", SOCKETS)
def test_a_stranger_is_told_to_sign_in_first(site: DemoSite, path: str) -> None:
    with site.socket(path) as websocket, pytest.raises(ConnectionClosed) as closed:
        websocket.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "Sign in first.")


@pytest.mark.parametrize("path", ["/chat/room/harbour/", "/notes/", "/dashboard/"])
def test_a_stranger_is_sent_to_the_sign_in_page(site: DemoSite, path: str) -> None:
    assert site.get(path) == f"{site.url}/sign-in/?next={path}"


@pytest.mark.parametrize("room", ["nowhere", "x" * 200])
def test_a_room_that_does_not_exist_cannot_be_entered(site: DemoSite, room: str) -> None:
    with (
        site.socket(f"/ws/chat/{room}/", name="ann") as websocket,
        pytest.raises(ConnectionClosed) as closed,
    ):
        websocket.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4404, "There is no such room.")


@pytest.mark.parametrize(
    "forged",
    [
        {"type": "chat.line", "line": {"id": 1, "text": "forged"}},
        {"type": "chat_members", "names": ["mallory"]},
        {"type": "websocket.disconnect", "code": 1000},
        {"type": "websocket.close"},
        {"type": "send.json", "kind": "members", "names": ["mallory"]},
        {"type": "leave"},
        {"type": "_private"},
    ],
    ids=lambda forged: forged["type"],
)
def test_a_type_that_a_client_sends_reaches_no_handler_and_nobody_else(
    site: DemoSite, chat: ClientConnection, forged: dict[str, Any]
) -> None:
    with site.socket(CHAT, name="bob") as bob:
        frame(bob, "members")
        line = say("honest")

        chat.send(json.dumps(forged))
        answer = json.loads(chat.recv(timeout=10))
        while answer["kind"] == "members":
            assert answer["names"] == ["ann", "bob"]
            answer = json.loads(chat.recv(timeout=10))
        chat.send(json.dumps({**forged, **line}))

        assert answer == UNKNOWN_ACTION
        assert frame(chat, "line")["line"]["text"] == "honest"
        assert json.loads(bob.recv(timeout=10))["line"]["text"] == "honest"


@pytest.mark.parametrize(
    "content", [None, 1, "say", [], ["say"], {}, {"action": "shout"}, {"action": ["say"]}]
)
def test_an_unknown_action_is_answered_and_the_socket_stays_open(
    chat: ClientConnection, content: Any
) -> None:
    chat.send(json.dumps(content))
    answer = frame(chat, "error")
    chat.send(json.dumps(say("still open")))

    assert answer == UNKNOWN_ACTION
    assert frame(chat, "line")["line"]["text"] == "still open"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "Type something first."),
        (" \n ", "Type something first."),
        (None, "Type something first."),
        ("x" * 501, "Ensure this value has at most 500 characters (it has 501)."),
        ("\x00", "Null characters are not allowed."),
        ("\ud800", "This text holds a broken character."),
    ],
)
def test_a_line_that_cannot_be_said_is_answered_with_the_reason(
    chat: ClientConnection, text: Any, answer: str
) -> None:
    line = say(text)

    chat.send(json.dumps(line))

    assert frame(chat, "error") == {"kind": "error", "text": answer, "ref": line["ref"]}


@pytest.mark.parametrize("ref", [None, "", "1", 5, {"a": 1}, ["x"]])
def test_a_line_without_a_proper_reference_is_refused(chat: ClientConnection, ref: Any) -> None:
    chat.send(json.dumps({"action": "say", "ref": ref, "text": "hello"}))

    assert frame(chat, "error")["ref"] == ref


def test_a_line_that_is_sent_twice_is_said_once(site: DemoSite, chat: ClientConnection) -> None:
    with site.socket(CHAT, name="bob") as bob:
        frame(bob, "members")
        first, second = say("once"), say("next")

        for line in (first, first, second):
            chat.send(json.dumps(line))

        assert [frame(bob, "line")["line"]["text"] for _ in range(2)] == ["once", "next"]


@pytest.mark.parametrize("after", ["-1", "x", "9" * 18, "9" * 5000, "%FF", "", "1&after=2"])
def test_any_place_in_the_history_may_be_asked_for(site: DemoSite, after: str) -> None:
    with site.socket(f"{CHAT}?after={after}", name="ann") as websocket:
        assert frame(websocket, "history").keys() == {"kind", "lines", "cut"}


def test_a_long_absence_is_caught_up_with_and_what_is_left_out_is_said(
    site: DemoSite, chat: ClientConnection
) -> None:
    for number in range(202):
        chat.send(json.dumps(say(f"line {number}")))
    first = frame(chat, "line")["line"]["id"]
    while frame(chat, "line")["line"]["text"] != "line 201":
        pass

    def history(after: int) -> tuple[list[str], bool]:
        with site.socket(f"{CHAT}?after={after}", name="ann") as websocket:
            content = frame(websocket, "history")
        return [line["text"] for line in content["lines"]], content["cut"]

    assert history(0) == ([f"line {number}" for number in range(152, 202)], False)
    assert history(first) == ([f"line {number}" for number in range(2, 202)], True)
    assert history(first + 1) == ([f"line {number}" for number in range(2, 202)], False)


def test_a_person_whose_socket_ends_by_an_error_is_not_shown_as_here(tmp_path: Path) -> None:
    site = DemoSite(tmp_path)  # of its own, since the error is logged
    site.start()
    with site.socket(CHAT, name="ann") as ann, site.socket(CHAT, name="bob") as bob:
        while frame(ann, "members")["names"] != ["ann", "bob"]:
            pass

        bob.send("this is not JSON")

        assert frame(ann, "members")["names"] == ["ann"]
    site.stop()


def test_a_frame_over_64_kib_ends_the_socket(chat: ClientConnection) -> None:
    chat.send("x" * 65_537)

    with pytest.raises(ConnectionClosed) as closed:
        frame(chat, "never")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009

"""Requests, and what may stand in the answers to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.server.handshake import (
    Handshake,
    accept_response,
    fill_scope,
    header_line,
    judge_request,
    read_plain_request,
    read_request,
    refuse,
    response_head,
)

REQUEST = b"""GET /chat/%C3%A9?a=%20&b HTTP/1.1
host: example.org
upgrade: websocket
connection: keep-alive, Upgrade
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
sec-websocket-version: 13
""".replace(b"\n", b"\r\n")


def head_with(more: str) -> bytes:
    return REQUEST + more.encode("latin-1").replace(b"\n", b"\r\n") + b"\r\n"


def asked(more: str = "", *, offers_deflate: bool = True) -> Handshake:
    handshake = read_request(head_with(more), offers_deflate=offers_deflate)
    assert handshake is not None
    return handshake


def headers_of(response: bytes) -> dict[bytes, bytes]:
    lines = response.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {line.partition(b": ")[0].lower(): line.partition(b": ")[2] for line in lines}


def test_a_request_is_accepted_with_the_key_of_the_rfc() -> None:
    response = accept_response(asked(), None)

    assert response.startswith(b"HTTP/1.1 101 ")
    assert response.endswith(b"\r\n\r\n")
    assert headers_of(response) == {
        b"upgrade": b"websocket",
        b"connection": b"Upgrade",
        b"sec-websocket-accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }


LINES = [
    "GET / HTTP/1.1", "POST / HTTP/1.1", "GET / HTTP/1.0", "GET /a b HTTP/1.1",
    "Host: a", "Origin: http://a", "Upgrade: websocket", "upgrade: WebSocket", "Upgrade: h2c",
    "Connection: Upgrade", "Connection: keep-alive, Upgrade", "connection: close",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==",
    "Sec-WebSocket-Key: dGhl", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: a,,b",
    "Sec-WebSocket-Protocol: a b", "Sec-WebSocket-Extensions: permessage-deflate",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9, x",
    "Sec-WebSocket-Extensions: =", "Content-Length: 0", "Content-Length: 1",
    "Transfer-Encoding: chunked", "Cookie: a=\xe9", "no colon", "bad name: x", ": x", "x: \x00",
]  # fmt: skip
GOOD = ["GET / HTTP/1.1", *(LINES[number] for number in (4, 6, 9, 12, 15))]


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Draw a request that is right but for a few lines or bytes."""
    lines = [line for line in GOOD if draw(st.integers(0, 15))]
    for line in draw(st.lists(st.sampled_from(LINES), max_size=3)):
        lines.insert(draw(st.integers(1, len(lines))) if lines else 0, line)
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if not draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(head)))
        head = head[:at] + draw(st.binary(max_size=2)) + head[at + draw(st.integers(0, 2)) :]
    return head


@given(heads(), st.booleans())
@example("\r\n".join([*GOOD, "", ""]).encode(), True)
def test_what_is_answered_without_the_judge_is_answered_as_by_him(
    head: bytes, offers_deflate: bool
) -> None:
    plain = read_plain_request(head, offers_deflate=offers_deflate)

    assert plain in (None, judge_request(head, offers_deflate=offers_deflate))


@pytest.mark.parametrize(
    "more",
    [
        "",
        "Origin: https://example.org\nCookie: sessionid=a; b=c\nUser-Agent: Mozilla/5.0 (X; é)\n",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\n",
        "Sec-WebSocket-Protocol: graphql-ws, other\n",
    ],
)
def test_what_browsers_send_needs_no_judge(more: str) -> None:
    head = head_with(more)

    plain = read_plain_request(head, offers_deflate=True)

    assert plain is not None
    assert plain == judge_request(head, offers_deflate=True)


def test_the_scope_says_what_the_request_asks_for() -> None:
    more = "cookie: a=\xff\nsec-websocket-protocol: one, two\nsec-websocket-protocol: three\n"

    scope = fill_scope({}, asked(more), "/root")

    assert scope["path"] == "/root/chat/é"
    assert scope["raw_path"] == b"/root/chat/%C3%A9"
    assert scope["root_path"] == "/root"
    assert scope["query_string"] == b"a=%20&b"
    assert scope["subprotocols"] == ["one", "two", "three"]
    assert (b"cookie", b"a=\xff") in scope["headers"]
    assert scope["headers"][0] == (b"host", b"example.org")


@pytest.mark.parametrize(
    ("offer", "bits", "answer"),
    [
        ("permessage-deflate", 15, b"server_no_context_takeover; client_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits", 15, b"client_no_context_takeover"),
        ("permessage-deflate; server_max_window_bits=10", 10, b"server_max_window_bits=10"),
        ("permessage-deflate; server_no_context_takeover", 15, b"server_no_context_takeover"),
        ("x-webkit-deflate-frame", 0, None),
        ("permessage-deflate; unknown=1", 0, None),
    ],
)
def test_deflate_is_negotiated_without_context(offer: str, bits: int, answer: bytes | None) -> None:
    handshake = asked(f"sec-websocket-extensions: {offer}\n")

    extensions = headers_of(accept_response(handshake, None)).get(b"sec-websocket-extensions")

    assert handshake.window_bits == bits
    if answer is None:
        assert extensions is None
    else:
        assert extensions is not None
        assert answer in extensions
        assert b"server_no_context_takeover; client_no_context_takeover" in extensions


def test_deflate_is_not_offered_where_it_is_switched_off() -> None:
    handshake = asked("sec-websocket-extensions: permessage-deflate\n", offers_deflate=False)

    assert handshake.window_bits == 0
    assert b"sec-websocket-extensions" not in headers_of(accept_response(handshake, None))


@pytest.mark.parametrize(
    ("wrong", "right", "status"),
    [
        (b"version: 12", b"version: 13", b"400"),
        (b"key: short", b"key: dGhlIHNhbXBsZSBub25jZQ==", b"400"),
        (b"connection: close", b"connection: keep-alive, Upgrade", b"426"),
        (b"upgrade: h2c", b"upgrade: websocket", b"426"),
    ],
)
def test_what_is_no_handshake_is_refused(wrong: bytes, right: bytes, status: bytes) -> None:
    assert right in REQUEST

    handshake = read_request(REQUEST.replace(right, wrong) + b"\r\n", offers_deflate=True)

    assert handshake is not None
    assert handshake.refusal is not None
    assert handshake.refusal.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"\x16\x03\x01\r\n\r\n",
        REQUEST.replace(b"/chat", b"/caf\xc3\xa9") + b"\r\n",
    ],
)
def test_what_is_no_whole_request_is_none(head: bytes) -> None:
    assert read_request(head, offers_deflate=True) is None


def test_headers_and_the_subprotocol_of_the_application_reach_the_client() -> None:
    response = accept_response(
        asked(),
        "chat.v1",
        [[b"X-Room", b"caf\xc3\xa9"], (b"x-b", b"")],
        defaults=[(b"server", b"us")],
    )

    headers = headers_of(response)
    assert headers[b"sec-websocket-protocol"] == b"chat.v1"
    assert headers[b"server"] == b"us"
    assert headers[b"x-room"] == b"caf\xc3\xa9"
    assert headers[b"x-b"] == b""


def test_the_server_s_own_headers_are_those_of_the_moment() -> None:
    dates = [b"Mon", b"Tue", b"Mon"]
    responses = [accept_response(asked(), None, defaults=[(b"date", date)]) for date in dates]

    assert [headers_of(response)[b"date"] for response in responses] == dates


INJECTIONS: list[tuple[Any, Any]] = [
    (b"x", b"a\r\nset-cookie: b=c"),
    (b"x", b"a\nb"),
    (b"x", b"a\rb"),
    (b"x", b"a\0b"),
    (b"x\r\ny", b"a"),
    (b"x: y", b"a"),
    (b"", b"a"),
    (b"x y", b"a"),
    ("x", b"a"),
    (b"x", "a"),
    (b"x", None),
]


@pytest.mark.parametrize(("name", "value"), INJECTIONS)
def test_no_header_can_end_its_line(name: Any, value: Any) -> None:
    for respond in (
        lambda: accept_response(asked(), None, [(name, value)]),
        lambda: response_head(401, [(name, value)], length=None),
        lambda: header_line(name, value),
    ):
        with pytest.raises(ValueError, match="header"):
            respond()


@pytest.mark.parametrize("subprotocol", ["a\r\nx: y", "a, b", "", "a b", "é"])
def test_no_subprotocol_can_be_anything_but_a_token(subprotocol: str) -> None:
    with pytest.raises(ValueError, match="is no token"):
        accept_response(asked(), subprotocol)


@pytest.mark.parametrize("name", [b"Sec-WebSocket-Protocol", b"connection", b"upgrade"])
def test_an_accept_leaves_the_server_s_headers_to_the_server(name: bytes) -> None:
    with pytest.raises(ValueError, match="is the server's to set"):
        accept_response(asked(), None, [(name, b"x")])


@pytest.mark.parametrize("status", [99, 101, 199, 600, "200", True, None])
def test_a_denial_needs_a_status_of_a_whole_response(status: Any) -> None:
    with pytest.raises(ValueError, match="of a denial; expected a number from 200 to 599"):
        response_head(status, [], length=0)


def test_a_denial_ends_with_its_length_or_with_the_connection() -> None:
    headers = [(b"X-Why", b"no"), (b"Connection", b"keep-alive"), (b"transfer-encoding", b"x")]

    whole = headers_of(response_head(401, headers, length=4))
    streamed = headers_of(response_head(401, headers, length=None))
    given = headers_of(response_head(401, [(b"content-length", b"9")], length=4))

    assert whole == {b"x-why": b"no", b"connection": b"close", b"content-length": b"4"}
    assert streamed == {b"x-why": b"no", b"connection": b"close"}
    assert given[b"content-length"] == b"9"


def test_an_unknown_status_has_no_phrase() -> None:
    assert response_head(499, [], length=0).startswith(b"HTTP/1.1 499 \r\n")


def test_a_refusal_of_our_own_is_a_whole_response() -> None:
    assert refuse(503, "too many").endswith(b"content-length: 9\r\n\r\ntoo many\n")
    assert refuse(403, "").endswith(b"content-length: 0\r\n\r\n")

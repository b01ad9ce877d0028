"""Bytes to messages: by example, cut anywhere, and beside another reader."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels._core.broadcast import Broadcast
from channels.exceptions import PeerError
from channels.server.framing import (
    BINARY,
    CLOSE,
    NO_CODE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    broadcast_frame,
    deflate,
    encode,
    encode_close,
    encode_message,
    inflate,
)
from tests.unit.channels.server.frames import (
    LIMIT,
    client_frame,
    deflated,
    frames,
    read,
    read_by_websockets,
    streams,
    whole_frames,
)


def reader(*, has_deflate: bool = False, frame: int = LIMIT, message: int = LIMIT) -> FrameReader:
    return FrameReader(frame, message, has_deflate=has_deflate)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 999, 65535, 65536, 70000])
def test_a_message_of_any_size_comes_out_as_it_went_in(size: int) -> None:
    payload = bytes(byte % 251 for byte in range(size))

    assert read(reader(frame=10**6, message=10**6), client_frame(0x82, payload)) == [
        (BINARY, payload)
    ]


def test_text_is_decoded_and_bytes_are_not() -> None:
    seen = read(reader(), client_frame(0x81, "ä✓".encode()) + client_frame(0x82, b"\xff"))

    assert seen == [(TEXT, "ä✓"), (BINARY, b"\xff")]


def test_fragments_are_joined_around_the_control_frames_between_them() -> None:
    pieces = [
        client_frame(0x01, b"a\xe2\x9c"),
        client_frame(0x89, b"?"),
        client_frame(0x00),
        client_frame(0x8A, b"!"),
        client_frame(0x80, b"\x93b"),
    ]

    assert read(reader(), *pieces) == [(PING, b"?"), (PONG, b"!"), (TEXT, "a✓b")]


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (b"", (NO_CODE, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x0f\xa0bye \xe2\x9c\x93", (4000, "bye ✓")),
    ],
)
def test_a_close_has_a_code_and_a_reason(payload: bytes, seen: Any) -> None:
    assert read(reader(), client_frame(0x88, payload)) == [(CLOSE, seen)]


VIOLATIONS = {
    "no mask": (1002, client_frame(0x81, b"a", mask=None)),
    "opcode 3": (1002, client_frame(0x83)),
    "opcode 11": (1002, client_frame(0x8B)),
    "RSV1 without deflate": (1002, client_frame(0xC1)),
    "RSV2": (1002, client_frame(0xA1)),
    "RSV3": (1002, client_frame(0x91)),
    "ping in fragments": (1002, client_frame(0x09)),
    "ping of 126 bytes": (1002, client_frame(0x89, b"x" * 126)),
    "continuation of nothing": (1002, client_frame(0x80)),
    "message inside a message": (1002, client_frame(0x01) + client_frame(0x81)),
    "half a close code": (1002, client_frame(0x88, b"\x03")),
    "close code 999": (1002, client_frame(0x88, (999).to_bytes(2, "big"))),
    "close code 1005": (1002, client_frame(0x88, (1005).to_bytes(2, "big"))),
    "close code 1006": (1002, client_frame(0x88, (1006).to_bytes(2, "big"))),
    "close code 2999": (1002, client_frame(0x88, (2999).to_bytes(2, "big"))),
    "close code 5000": (1002, client_frame(0x88, (5000).to_bytes(2, "big"))),
    "close reason of no UTF-8": (1007, client_frame(0x88, b"\x03\xe8\xff")),
    "text of no UTF-8": (1007, client_frame(0x81, b"\xff")),
    "a surrogate": (1007, client_frame(0x81, b"\xed\xa0\x80")),
    "half a character": (1007, client_frame(0x01, b"\xe2") + client_frame(0x80)),
    "frame over the limit": (1009, client_frame(0x82, b"x" * (LIMIT + 1))),
    "1 GiB declared": (1009, b"\x82\xff" + (2**30).to_bytes(8, "big")),
    "2 ** 64 - 1 declared": (1009, b"\x82\xff" + b"\xff" * 8),
    "message over the limit": (1009, client_frame(0x02, b"x" * LIMIT) + client_frame(0x80, b"x")),
}


@pytest.mark.parametrize(("code", "received"), VIOLATIONS.values(), ids=list(VIOLATIONS))
def test_a_violation_is_told_with_its_code(code: int, received: bytes) -> None:
    assert read(reader(), received) == [code]


def test_a_violation_is_known_before_its_frame_is_whole() -> None:
    assert read(reader(), b"\x81\x01") == [1002]
    assert read(reader(), b"\x82\xfe\xff\xff") == [1009]


def test_bad_text_is_known_at_the_fragment_that_shows_it() -> None:
    assert read(reader(), client_frame(0x01, b"ok\xff")) == [1007]


def test_a_deflated_message_is_inflated_by_itself() -> None:
    received = client_frame(0xC1, deflated(b"again and again")) * 2

    assert read(reader(has_deflate=True), received) == [(TEXT, "again and again")] * 2


def test_a_deflated_message_in_fragments_is_inflated_whole() -> None:
    packed = deflated(b"x" * 500)
    received = client_frame(0x42, packed[:3]) + client_frame(0x80, packed[3:])

    assert read(reader(has_deflate=True), received) == [(BINARY, b"x" * 500)]


def test_rsv1_on_a_continuation_is_a_violation() -> None:
    received = client_frame(0x41, b"a") + client_frame(0xC0, b"b")

    assert read(reader(has_deflate=True), received) == [1002]


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = deflated(b"\0" * 1_000_000)
    assert len(bomb) <= 1000

    assert read(reader(has_deflate=True), client_frame(0xC2, bomb)) == [1009]


def test_a_deflated_message_in_one_frame_is_under_the_limit_of_a_frame() -> None:
    packed = deflated(b"x" * 11)
    small = {"has_deflate": True, "frame": 10, "message": 100}

    assert read(reader(**small), client_frame(0xC1, packed)) == [1009]
    assert read(reader(**small), client_frame(0x41, packed) + client_frame(0x80)) == [
        (TEXT, "x" * 11)
    ]


@pytest.mark.parametrize(
    ("frame", "message", "limit"), [(10, 100, "max_frame_bytes"), (100, 10, "max_message_bytes")]
)
def test_a_deflated_message_that_is_too_large_names_the_limit_that_it_broke(
    frame: int, message: int, limit: str
) -> None:
    small = reader(has_deflate=True, frame=frame, message=message)
    small.feed(client_frame(0xC1, deflated(b"x" * 11)))

    with pytest.raises(PeerError) as raised:
        small.next()

    assert raised.value.limit == limit


def test_what_cannot_be_inflated_is_a_violation() -> None:
    assert read(reader(has_deflate=True), client_frame(0xC1, b"\xff\xff\xff")) == [1007]


def test_a_message_of_exactly_the_limit_passes() -> None:
    assert inflate(deflated(b"x" * LIMIT), LIMIT) == b"x" * LIMIT
    with pytest.raises(PeerError):
        inflate(deflated(b"x" * (LIMIT + 1)), LIMIT)


def test_what_is_not_asked_for_stays_as_it_came() -> None:
    flood = client_frame(0x81, b"a") * 10_000
    lazy = reader()

    lazy.feed(flood)
    first = lazy.next()

    assert first == (TEXT, "a")
    assert lazy.pending() == len(flood) - len(client_frame(0x81, b"a"))


@given(streams, st.lists(st.integers(0, 3000), max_size=8), st.booleans())
def test_it_does_not_matter_where_the_bytes_are_cut(
    received: bytes, cuts: list[int], has_deflate: bool
) -> None:
    places = sorted({0, len(received), *(cut for cut in cuts if cut < len(received))})
    pieces = [received[a:b] for a, b in pairwise(places)]

    whole = read(reader(has_deflate=has_deflate), received)

    assert read(reader(has_deflate=has_deflate), *pieces) == whole


@given(whole_frames, st.booleans())
def test_another_reader_reads_the_same(received: bytes, has_deflate: bool) -> None:
    # Of whole messages, since that reader finds an error of text at the end of a message, and one
    # of deflate at the first fragment.
    ours = [
        frame if isinstance(frame, tuple) else "fails"
        for frame in until_close(read(reader(has_deflate=has_deflate), received))
    ]

    assert ours == read_by_websockets(received, has_deflate=has_deflate)


def until_close(seen: list[Any]) -> list[Any]:
    closes = [n for n, frame in enumerate(seen) if isinstance(frame, tuple) and frame[0] == CLOSE]
    return seen[: closes[0] + 1] if closes else seen


@given(
    st.lists(st.tuples(st.binary(max_size=30), st.booleans()), min_size=1, max_size=6),
    st.booleans(),
)
def test_a_message_in_any_fragments_is_the_whole_message(
    fragments: list[tuple[bytes, bool]], is_deflated: bool
) -> None:
    message = b"".join(fragment for fragment, _ in fragments)
    sent = deflated(message) if is_deflated else message
    received, at = b"", 0
    for number, (fragment, pings) in enumerate(fragments):
        is_last = number == len(fragments) - 1
        end = len(sent) if is_last else at + len(fragment)
        first = (0x80 if is_last else 0) | (0 if number else 0x42 if is_deflated else 0x02)
        received += client_frame(0x89, b"?") * pings + client_frame(first, sent[at:end])
        at = end

    seen = read(reader(has_deflate=True), received)

    assert seen == [(PING, b"?")] * sum(pings for _, pings in fragments) + [(BINARY, message)]


@given(st.lists(frames, max_size=3), st.binary(max_size=50))
def test_nothing_but_a_violation_is_raised(some: list[bytes], rest: bytes) -> None:
    read(reader(has_deflate=True), b"".join(some) + rest)


@given(st.binary(max_size=400), st.integers(9, 15))
def test_what_is_deflated_can_be_inflated(payload: bytes, window_bits: int) -> None:
    assert inflate(deflate(payload, window_bits), 1000) == payload
    engine = zlib.decompressobj(-window_bits)
    assert engine.decompress(deflate(payload, window_bits) + b"\x00\x00\xff\xff") == payload


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, b"\x82\x00"), (125, b"\x82\x7d"), (126, b"\x82\x7e\x00\x7e"), (65535, b"\x82\x7e\xff\xff"),
     (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00")],
)  # fmt: skip
def test_a_frame_begins_with_the_shortest_length(size: int, head: bytes) -> None:
    frame = encode(BINARY, b"x" * size)

    assert frame[: len(head)] == head
    assert len(frame) == len(head) + size


def test_a_short_message_is_not_deflated_and_a_long_one_is() -> None:
    assert encode_message("x" * 127, 15)[0] == 0x81
    assert encode_message("x" * 128, 15)[0] == 0xC1
    assert encode_message(b"x" * 128, 0)[0] == 0x82


def test_a_broadcast_is_encoded_once_for_each_window() -> None:
    event = Broadcast({"type": "websocket.send", "text": "x" * 200})

    plain = broadcast_frame(event, 0)

    assert broadcast_frame(event, 0) is plain
    assert broadcast_frame(event, 15) is broadcast_frame(event, 15)
    assert plain == encode_message("x" * 200)
    assert set(event.frames) == {0, 15}


def test_a_broadcast_of_empty_bytes_is_a_frame() -> None:
    assert broadcast_frame(Broadcast({"type": "websocket.send", "bytes": b""}), 0) == b"\x82\x00"


@pytest.mark.parametrize("code", [999, 1004, 1006, 1015, 1016, 2999, 5000, "1000", None, True])
def test_a_close_with_an_illegal_code_is_refused(code: Any) -> None:
    with pytest.raises(ValueError, match=f"no close frame can carry code {code!r}"):
        encode_close(code)


def test_a_close_without_a_code_is_empty() -> None:
    assert encode_close(NO_CODE, "ignored") == b"\x88\x00"


def test_a_long_reason_is_cut_between_characters() -> None:
    frame = encode_close(4000, "x" * 122 + "✓")

    assert len(frame) == 2 + 2 + 122
    assert frame[4:].decode() == "x" * 122

"""Frames as clients send them, right and wrong, and another reader to compare with."""

from __future__ import annotations

import zlib
from typing import Any

from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from channels.exceptions import PeerError
from channels.server.framing import FrameReader

LIMIT = 1000

MASK = b"\x01\x02\x03\x04"


def client_frame(first: int, payload: bytes = b"", *, mask: bytes | None = MASK) -> bytes:
    """Return one frame as a client sends it; ``first`` is its first byte."""
    size, flag = len(payload), 0x80 if mask else 0
    head = bytes((first,))
    if size < 126:
        head += bytes((flag | size,))
    elif size < 65536:
        head += bytes((flag | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((flag | 127,)) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def deflated(payload: bytes) -> bytes:
    """Return ``payload`` as permessage-deflate has it, without context."""
    engine = zlib.compressobj(wbits=-15)
    return (engine.compress(payload) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read(reader: FrameReader, *pieces: bytes) -> list[Any]:
    """Return every frame in the pieces; a violation is the last item, as its code."""
    seen: list[Any] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (frame := reader.next()) is not None:
                seen.append(frame)
    except PeerError as error:
        seen.append(error.close_code)
    return seen


def read_by_websockets(received: bytes, *, has_deflate: bool) -> list[Any]:
    """Return what the websockets package reads there, in the same words."""
    other = ServerProtocol(state=OPEN, max_size=(LIMIT, LIMIT))
    if has_deflate:
        other.extensions = [PerMessageDeflate(True, True, 15, 15)]
    other.receive_data(received)
    seen: list[Any] = []
    message: list[bytes] = []
    kind = Opcode.TEXT
    for event in other.events_received():
        assert isinstance(event, Frame)
        if event.opcode is Opcode.CLOSE:
            assert other.close_rcvd is not None
            return [*seen, (8, (other.close_rcvd.code, other.close_rcvd.reason))]
        if event.opcode in (Opcode.PING, Opcode.PONG):
            seen.append((int(event.opcode), bytes(event.data)))
            continue
        if event.opcode is not Opcode.CONT:
            kind, message = event.opcode, []
        message.append(bytes(event.data))
        if event.fin:
            whole = b"".join(message)
            try:
                seen.append((int(kind), whole.decode() if kind is Opcode.TEXT else whole))
            except UnicodeDecodeError:
                return [*seen, "fails"]
    if other.parser_exc is not None and not isinstance(other.parser_exc, EOFError):
        seen.append("fails")
    return seen


first_bytes = st.one_of(
    st.sampled_from([0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x41, 0xC2]),
    st.integers(0, 255),
)
payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=40).map(deflated),
    st.builds(
        lambda code, reason: code.to_bytes(2, "big") + reason.encode(),
        st.integers(990, 5010),
        st.text(max_size=10),
    ),
    st.sampled_from([b"x" * 125, b"x" * 126, b"x" * LIMIT, b"x" * (LIMIT + 1)]),
)
frames = st.builds(
    client_frame,
    first_bytes,
    payloads,
    mask=st.one_of(st.binary(min_size=4, max_size=4), st.just(MASK), st.none()),
)
streams = st.lists(frames, max_size=6).map(b"".join)
whole_frames = st.lists(
    st.builds(client_frame, first_bytes.map(lambda first: first | 0x80), payloads), max_size=6
).map(b"".join)

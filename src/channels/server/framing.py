"""Frames of the WebSocket protocol: bytes to messages and messages to bytes (RFC 6455 and 7692).

The reader is lazy. What has been received stays the bytes it came in until ``next`` is asked for
one message or control frame, so that a flood of tiny frames costs no more than its own bytes.

Extension permessage-deflate is understood without context take-over only: each message is inflated
by itself, never beyond the limit of a message.
"""

from __future__ import annotations

import codecs
import zlib
from typing import Any, Final

from channels._core.broadcast import Broadcast, Joined
from channels.exceptions import PeerError

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - where the package was built without a compiler
    from websockets.utils import apply_mask

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
FIN: Final = 0x80
RSV1: Final = 0x40
WHOLE_TEXT: Final = FIN | TEXT
MASKED: Final = 0x80

LEGAL: Final = frozenset(
    {CONTINUATION, TEXT, BINARY, FIN, FIN | TEXT, FIN | BINARY, FIN | CLOSE, FIN | PING, FIN | PONG}
)
LEGAL_WITH_DEFLATE: Final = LEGAL | {
    RSV1 | first for first in LEGAL if first & 15 in (TEXT, BINARY)
}
"""First bytes of frames (RFC 6455, 5.2): control frames are whole, RSV1 marks what is deflated."""

DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"
LEAST_DEFLATED: Final = 128
"""Bytes of a payload from which deflating it is tried."""

NO_CODE: Final = 1005
"""Stands for a close frame without a code; never on the wire (RFC 6455, 7.4.1)."""

NAMED_CODES: Final = frozenset(
    {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}
)
"""Codes of RFC 6455 and the IANA registry that may be on the wire; 3000 to 4999 are free."""

Frame = tuple[int, str | bytes | tuple[int, str]]
"""An opcode and its payload: text, bytes, or the code and reason of a close."""


class FrameReader:
    """Reads what one client sends.

    Args:
        max_frame_bytes: Most bytes in the payload of a frame; of a deflated message that comes in
            one frame, as it comes and inflated.
        max_message_bytes: Most bytes in a message, as it comes and inflated.
        has_deflate: Whether permessage-deflate was negotiated.

    Attributes:
        is_empty: Whether all that was received has been parsed.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_legal",
        "_max_frame_bytes",
        "_max_message_bytes",
        "_message",
        "_most_short",
        "_opening",
        "_validator",
        "is_empty",
    )

    def __init__(self, max_frame_bytes: int, max_message_bytes: int, *, has_deflate: bool) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._max_message_bytes = max_message_bytes
        self._most_short = min(125, max_frame_bytes, max_message_bytes)
        self._legal = LEGAL_WITH_DEFLATE if has_deflate else LEGAL
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self.is_empty: bool = True
        # The first byte of a message that is not complete, and its payload so far.
        self._opening = 0
        self._message: bytearray | None = None
        self._validator: codecs.IncrementalDecoder | None = None

    def feed(self, received: bytes) -> None:
        """Take bytes in the order in which they came. O(their number), parsing none."""
        if self.is_empty:
            self._buffer, self._at, self.is_empty = received, 0, not received
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(memoryview(self._buffer)[self._at :])
        else:
            del self._buffer[: self._at]
        self._at = 0
        self._buffer += received

    def pending(self) -> int:
        """Count the bytes that have not been parsed."""
        return len(self._buffer) - self._at

    def next(self) -> Frame | None:
        """Parse and return the next message or control frame, or ``None`` if none is complete.

        Raises:
            PeerError: The client has broken the protocol or a limit, known as soon as the bytes
                that show it are there. Nothing after it can be read.
        """
        if self.is_empty:
            return None
        buffer, at = self._buffer, self._at
        if buffer[at] == WHOLE_TEXT and len(buffer) - at > 5 and self._message is None:
            # As nearly all are: a short text with a mask.
            length = buffer[at + 1] - MASKED
            end = at + 6 + length
            if 0 <= length <= self._most_short and end <= len(buffer):
                return TEXT, _decoded(self._unmask(at + 6, end))
        return self._next_of_any()

    def _next_of_any(self) -> Frame | None:
        while (head := self._read_head()) is not None:
            first, start, end = head
            if end > len(self._buffer):
                return None
            frame = self._take(first, self._unmask(start, end))
            if frame is not None:
                return frame
        return None

    def _unmask(self, start: int, end: int) -> bytes:
        """Return a payload, whose mask is before it, and go on behind it."""
        buffer = self._buffer
        payload = apply_mask(buffer[start:end], buffer[start - 4 : start])
        if end == len(buffer):
            self._buffer, self._at, self.is_empty = b"", 0, True
        else:
            self._at = end
        return payload

    def _read_head(self) -> tuple[int, int, int] | None:
        """Return a frame's first byte and where its payload starts and ends, once it is there."""
        buffer, at = self._buffer, self._at
        available = len(buffer) - at
        if available < 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        length, start = second & 0x7F, at + 6
        self._check(first, second)
        if length > 125:
            size = 2 if length == 126 else 8
            if available < 2 + size:
                return None
            length, start = int.from_bytes(buffer[at + 2 : at + 2 + size], "big"), start + size
        if length > self._max_frame_bytes:
            raise PeerError(
                1009,
                f"frame of {length} bytes, at most {self._max_frame_bytes} allowed",
                limit="max_frame_bytes",
            )
        if self._message is not None and first & 15 < CLOSE:
            self._require_message_size(len(self._message) + length)
        return first, start, start + length

    def _check(self, first: int, second: int) -> None:
        if first not in self._legal:
            raise PeerError(1002, f"a frame must not begin with 0x{first:02x}")
        if not second & 0x80:
            raise PeerError(1002, "frame without a mask")
        opcode = first & 15
        if opcode >= CLOSE:
            if second & 0x7F > 125:
                raise PeerError(1002, "control frame of more than 125 bytes")
        elif (opcode == CONTINUATION) != (self._message is not None):
            raise PeerError(
                1002, "message inside a message" if opcode else "continuation of no message"
            )

    def _take(self, first: int, payload: bytes) -> Frame | None:
        opcode = first & 15
        if opcode >= CLOSE:
            return opcode, parse_close(payload) if opcode == CLOSE else payload
        if first & FIN and opcode:
            return self._finish(first, payload)
        if self._message is None:
            self._opening, self._message = first, bytearray()
            if opcode == TEXT and not first & RSV1:
                self._validator = UTF8()
        self._message += payload
        if self._validator is not None:
            self._validate(payload, is_last=bool(first & FIN))
        if not first & FIN:
            return None
        message, self._message, self._validator = bytes(self._message), None, None
        return self._finish(self._opening, message)

    def _finish(self, first: int, payload: bytes) -> Frame:
        if first & RSV1:
            payload = self._inflate(payload, is_one_frame=bool(first & FIN))
        else:
            self._require_message_size(len(payload))
        if first & 15 == BINARY:
            return BINARY, payload
        return TEXT, _decoded(payload)

    def _inflate(self, payload: bytes, *, is_one_frame: bool) -> bytes:
        most = self._max_frame_bytes
        if is_one_frame and most < self._max_message_bytes:
            return inflate(payload, most, limit="max_frame_bytes")
        return inflate(payload, self._max_message_bytes)

    def _validate(self, payload: bytes, *, is_last: bool) -> None:
        # Told at the fragment that shows it, not at the end of the message (RFC 6455, 8.1).
        if self._validator is not None:
            try:
                self._validator.decode(payload, is_last)
            except UnicodeDecodeError as error:
                raise _not_utf8() from error

    def _require_message_size(self, size: int) -> None:
        if size > self._max_message_bytes:
            raise _too_large(self._max_message_bytes)


UTF8: Final = codecs.getincrementaldecoder("utf-8")


# Nearly all frames are short texts.
TEXT_HEADS: Final = tuple(bytes((FIN | TEXT, size)) for size in range(126))


def encode(opcode: int, payload: bytes, *, flags: int = FIN) -> bytes:
    """Return one frame of a server, which has no mask."""
    size = len(payload)
    if size < 126:
        return bytes((flags | opcode, size)) + payload
    if size < 65536:
        return bytes((flags | opcode, 126, size >> 8, size & 255)) + payload
    return bytes((flags | opcode, 127)) + size.to_bytes(8, "big") + payload


def encode_message(payload: str | bytes, window_bits: int = 0) -> bytes:
    """Return the one frame of a message.

    Args:
        payload: Text or bytes.
        window_bits: Of permessage-deflate towards the client, 9 to 15; 0 where it was not
            negotiated. A short payload is sent as it is.
    """
    opcode = TEXT
    if isinstance(payload, str):
        payload = payload.encode()
        if not window_bits and len(payload) < 126:
            return TEXT_HEADS[len(payload)] + payload
    else:
        opcode = BINARY
    if window_bits and len(payload) >= LEAST_DEFLATED:
        return encode(opcode, deflate(payload, window_bits), flags=FIN | RSV1)
    return encode(opcode, payload)


def broadcast_frame(event: Broadcast | Joined, window_bits: int) -> bytes:
    """Return the frame of a broadcast, made for the first socket and kept for the others.

    Of several that were joined, their frames.
    """
    frame = event.frames.get(window_bits)
    if frame is None:
        if isinstance(event, Joined):
            frame = b"".join([broadcast_frame(part, window_bits) for part in event.parts])
        else:
            payload = event["bytes"] if "bytes" in event else event["text"]
            frame = encode_message(payload, window_bits)
        event.frames[window_bits] = frame
    return frame


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a close frame; a reason is cut to the 123 bytes that fit, between characters.

    ``NO_CODE`` gives one without code and reason.

    Raises:
        ValueError: ``code`` must not be on the wire.
    """
    if code == NO_CODE:
        return encode(CLOSE, b"")
    if not is_close_code(code):
        raise ValueError(
            f"no close frame can carry code {code!r}; expected 1000, 3000 to 4999 or another code "
            "of RFC 6455, section 7.4"
        )
    tail = reason.encode()[:123].decode(errors="ignore").encode()
    return encode(CLOSE, code.to_bytes(2, "big") + tail)


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and reason in the payload of a close frame.

    Raises:
        PeerError: They are none.
    """
    if not payload:
        return NO_CODE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_close_code(code):
        raise PeerError(1002, f"close frame with code {code}" if payload[1:] else "half a code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise _not_utf8() from error


def is_close_code(code: Any) -> bool:
    """Return whether a close frame can carry ``code`` (RFC 6455, 7.4)."""
    return code in NAMED_CODES or (type(code) is int and 3000 <= code <= 4999)


def deflate(payload: bytes, window_bits: int) -> bytes:
    """Return ``payload`` deflated as one message (RFC 7692, 7.2.1)."""
    # A window beyond the payload only takes time to set up.
    bits = min(window_bits, max(9, len(payload).bit_length()))
    engine = zlib.compressobj(wbits=-bits, memLevel=min(8, bits - 6))
    return (engine.compress(payload) + engine.flush(zlib.Z_SYNC_FLUSH))[: -len(DEFLATE_TAIL)]


def inflate(payload: bytes, most: int, *, limit: str = "max_message_bytes") -> bytes:
    """Return the message that was deflated to ``payload``, never more than ``most`` bytes.

    Args:
        payload: As it came.
        most: Most bytes in the message.
        limit: Which limit that is, for the error.

    Raises:
        PeerError: It is longer, or not deflated.
    """
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = engine.decompress(payload + DEFLATE_TAIL, most + 1)
    except zlib.error as error:
        raise PeerError(1007, "message that cannot be inflated") from error
    if len(message) > most:
        raise _too_large(most, limit)
    return message


def _too_large(most: int, limit: str = "max_message_bytes") -> PeerError:
    return PeerError(1009, f"message of over {most} bytes", limit=limit)


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8() from error


def _not_utf8() -> PeerError:
    return PeerError(1007, "text that is not UTF-8")

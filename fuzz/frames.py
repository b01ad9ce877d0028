"""Feed the frame reader anything, for a while.

    python fuzz/frames.py [SECONDS] [SEED]

Starts from frames that are right and breaks them: bytes changed, cut out, doubled, spliced.
Whatever comes, nothing but ``PeerError`` may escape, no message may pass its limit, and it must not
matter where the bytes are cut. What fails is printed with its seed.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
import zlib

from channels.exceptions import PeerError
from channels.server.framing import FrameReader

LIMIT = 5000
OPCODES = (0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8A, 0x41, 0xC1, 0x42, 0xC2)
SIZES = (0, 1, 2, 5, 125, 126, 127, 600, LIMIT, LIMIT + 1)


def main(seconds: float, seed: int) -> int:
    """Try streams until the time is over; return the exit code."""
    until = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until:
        chance = random.Random(f"{seed}-{tried}")  # noqa: S311 - nothing secret
        try:
            check(make_stream(chance), chance)
        except Exception as error:
            print(f"stream {seed}-{tried}: {error!r}")
            raise
        tried += 1
    print(f"frames: {tried} streams in {seconds:g} s, nothing found")
    return 0


def check(stream: bytes, chance: random.Random) -> None:
    """Read ``stream`` whole and in pieces; the outcome must be the same, and within the limits."""
    has_deflate = chance.random() < 0.5
    whole = read([stream], has_deflate=has_deflate)
    assert all(
        not isinstance(payload, str | bytes) or len(payload) <= LIMIT for _, payload in whole
    )
    cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(10)))
    places = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert read(pieces, has_deflate=has_deflate) == whole


def read(pieces: list[bytes], *, has_deflate: bool) -> list[tuple[int, object]]:
    """Return every frame, and the code of the violation as the last one."""
    reader = FrameReader(LIMIT, LIMIT, has_deflate=has_deflate)
    seen: list[tuple[int, object]] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (frame := reader.next()) is not None:
                seen.append(frame)
    except PeerError as error:
        seen.append((-1, error.close_code))
    return seen


def make_stream(chance: random.Random) -> bytes:
    """Return some frames, most often broken somewhere."""
    stream = bytearray(b"".join(make_frame(chance) for _ in range(chance.randrange(1, 8))))
    for _ in range(chance.choice((0, 0, 1, 2, 8))):
        at = chance.randrange(len(stream) + 1)
        end = min(len(stream), at + chance.randrange(12))
        match chance.randrange(4):
            case 0:
                stream[at:end] = chance.randbytes(end - at)
            case 1:
                del stream[at:end]
            case 2:
                stream[at:at] = stream[at:end]
            case 3:
                stream[at:at] = make_frame(chance)
    return bytes(stream)


def make_frame(chance: random.Random) -> bytes:
    """Return one frame of a client, by itself right more often than not."""
    first = chance.choice(OPCODES) if chance.random() < 0.9 else chance.randrange(256)
    payload = make_payload(chance, first)
    mask = chance.randbytes(4)
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def make_payload(chance: random.Random, first: int) -> bytes:
    """Return text, bytes, something deflated or a close code with a reason."""
    size = chance.choice(SIZES) if first & 15 < 8 else chance.randrange(126)
    if first & 15 == 8:
        return chance.choice((999, 1000, 1005, 3000, 4999)).to_bytes(2, "big") + b"\xe2\x9c\x93"
    payload = chance.choice(("a", "é", "✓", "😀")).encode() * (size // 4)
    if chance.random() < 0.3:
        payload = chance.randbytes(size)
    if first & 0x40:
        engine = zlib.compressobj(wbits=-15)
        payload = (engine.compress(payload * 3) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return payload


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(
        main(
            float(arguments[0]) if arguments else 60,
            int(arguments[1]) if arguments[1:] else time.time_ns(),
        )
    )

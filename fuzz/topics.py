"""Feed the server's side of the topics protocol anything a client may send.

Only documented errors may come back, as frames; the session lives, and nothing is left behind.

Run: ``make fuzz TIME=60``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
sys.path.insert(0, str(Path(__file__).parents[1]))

import django

django.setup()

from channels.topics import Limits, Reliable, Topic, call  # noqa: E402 - after Django's set-up
from channels.topics.session import Identity, Refused, Session  # noqa: E402
from channels.topics.site import here  # noqa: E402

VECTORS = Path(__file__).parents[1] / "protocol" / "vectors" / "frames-from-client.json"
DOCUMENTED = {
    "invalid_frame", "expected_hello", "too_large", "rate_limited", "unknown_topic", "denied",
    "not_subscribed", "too_many_topics", "too_many_calls", "unknown_call", "invalid_data",
    "invalid_token", "timeout", "failed", "unavailable",
}  # fmt: skip


class Room(Topic, pattern="room.<int:pk>"):
    delivery = Reliable(history=5)
    presence = True
    presence_grace = 0.01
    pk: int

    def authorize(self) -> bool:
        return self.pk % 7 != 0

    async def shown(self) -> Any:
        return {"pk": self.pk}

    @call
    async def say(self, text: str, n: int = 1, tags: list[str] | None = None) -> str:
        return text * min(n, 3)


def mutate(text: str, chance: random.Random) -> str:
    """Return a frame with something wrong in it, or another one."""
    letters = list(text)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(letters) + 1)
        piece = chance.choice(['"', "{", "}", ":", ",", "0", "-1", "null", "[", "1e99", "é", "\\"])
        letters[at : at + chance.randrange(3)] = piece
    return "".join(letters)


async def converse(seeds: list[str], chance: random.Random) -> int:
    """Send one session a stream of frames; return how many."""
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    async def close(code: int, reason: str) -> None:
        assert code in {3401, 3403}, (code, reason)

    async def clean_up() -> None:
        pass

    async def authenticate(token: str) -> Identity:
        if len(token) % 2:
            raise Refused("an odd token")
        return Identity(None, 60.0)

    limits = Limits(topics=5, frame_bytes=2000, frame_rate=1e6, frame_burst=10_000)
    session = Session(
        here(), f"fuzz.{chance.random()}", {},
        send=send, close=close, clean_up=clean_up, authenticate=authenticate, limits=limits,
    )  # fmt: skip
    count = chance.randrange(1, 40)
    await session.receive('{"type":"hello"}' if chance.random() < 0.9 else chance.choice(seeds))
    for _ in range(count):
        seed = chance.choice(seeds).replace("room.1", f"room.{chance.randrange(9)}")
        await session.receive(seed if chance.random() < 0.5 else mutate(seed, chance))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    session.end()
    for text in sent:
        frame = json.loads(text)
        assert frame["type"] != "error" or frame["code"] in DOCUMENTED, frame
        assert frame.get("code") != "failed", (frame, sent)
    return count


async def run(seconds: float) -> None:
    """Converse for so long."""
    seeds = [case["text"] for case in json.loads(VECTORS.read_text())]
    seeds += [
        '{"type":"subscribe","id":1,"topic":"room.1","recent":3}',
        '{"type":"subscribe","id":1,"topic":"room.1","position":"e:99"}',
        '{"type":"call","id":2,"topic":"room.1","name":"say","data":{"text":"a","n":2}}',
        '{"type":"unsubscribe","id":3,"topic":"room.1"}',
    ]
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)  # noqa: S311 - repeatable
    print(f"topics: seed {seed}", flush=True)
    frames, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        frames += await converse(seeds, chance)
    engine = here()
    await asyncio.sleep(0.1)
    assert not engine.connections
    assert not any(topic.subscribers for topic in engine.topics.values())
    print(f"topics: {frames} frames, only documented errors")


if __name__ == "__main__":
    asyncio.run(run(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))

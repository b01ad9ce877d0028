"""A client that does not read: who waits, what is dropped, and what is not."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from channels._core.broadcast import Broadcast, Joined
from channels._core.outbox import SlowConsumer
from channels.server.outgoing import MOST_UNSENT
from tests.integration.websocket.conftest import Peer, Serve, Site, eventually
from tests.slow import SLOW

SMALL = 4096
"""Bytes of the receive buffer of a client that is to be full soon."""
PIECE = "x" * 10_000

Serving = Callable[..., Any]


def broadcast(number: int, *, key: Any = None, size: int = 10_000) -> Broadcast:
    text = f"{number:06}" + "x" * size
    return Broadcast({"type": "websocket.send", "text": text, "key": key})


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await leaving(receive)


async def leaving(receive: Any) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def stuck(site: Site, policy: SlowConsumer) -> tuple[Peer, Any, int]:
    """Return a peer that reads nothing, our full end, and how many broadcasts went out."""
    peer = await site.open(buffer=SMALL)
    [protocol] = site.protocols
    protocol.slow_consumer = policy
    sent = 0
    while protocol._drained is None:
        protocol.write(broadcast(sent))
        sent += 1
        # So that the kernel moves what it can into the peer's buffer.
        await asyncio.sleep(0)
    return peer, protocol, sent


def numbers(payloads: list[bytes]) -> list[int]:
    return [int(payload[:6]) for payload in payloads]


async def test_frames_that_the_kernel_does_not_take_come_later_and_in_order(serve: Serve) -> None:
    with override_settings(CHANNELS={"OUTBOX_FRAMES": 1000, "OUTBOX_BYTES": 10**8}):
        async with serve(accepting) as site:
            peer, protocol, sent = await stuck(site, SlowConsumer.DROP_NEWEST)
            for number in range(sent, sent + 50):
                protocol.write(broadcast(number))

            seen = numbers(await peer.frames(sent + 50))

            assert seen == list(range(sent + 50))
            await eventually(lambda: protocol._drained is None and protocol._outbox is None)
            protocol.write(broadcast(7, size=1))
            assert numbers(await peer.frames(1)) == [7]


@pytest.mark.parametrize(
    ("policy", "kept", "reason"),
    [
        (SlowConsumer.DROP_NEWEST, [0, 1, 2, 3, 4], "full"),
        (SlowConsumer.DROP_OLDEST, [5, 6, 7, 8, 9], "oldest"),
    ],
)
async def test_the_policy_says_which_frames_a_slow_client_misses(
    serve: Serve, counted: Counter[str], policy: SlowConsumer, kept: list[int], reason: str
) -> None:
    with override_settings(CHANNELS={"OUTBOX_FRAMES": 5}):
        async with serve(accepting) as site:
            peer, protocol, sent = await stuck(site, policy)

            for number in range(10):
                protocol.write(broadcast(sent + number))

            assert counted[f"FrameDropped.{reason}"] == 5
            seen = numbers(await peer.frames(sent + 5))
            assert seen == [*range(sent), *(sent + number for number in kept)]


async def test_frames_that_go_together_are_one_write(serve: Serve, writes: list[bytes]) -> None:
    async with serve(accepting) as site:
        peer = await site.open()
        [protocol] = site.protocols
        writes.clear()

        protocol.write(Joined([broadcast(1, size=1), broadcast(2, size=1)]))

        assert writes == [b"\x81\x07000001x\x81\x07000002x"]
        assert numbers(await peer.frames(2)) == [1, 2]


async def test_a_slow_client_misses_each_of_them_by_itself(
    serve: Serve, counted: Counter[str]
) -> None:
    with override_settings(CHANNELS={"OUTBOX_FRAMES": 5}):
        async with serve(accepting) as site:
            peer, protocol, sent = await stuck(site, SlowConsumer.DROP_NEWEST)

            protocol.write(Joined([broadcast(sent + number) for number in range(7)]))

            assert counted["FrameDropped.full"] == 2
            assert numbers(await peer.frames(sent + 5)) == list(range(sent + 5))


async def test_a_slow_client_that_is_sent_away_gets_none_of_those_behind(
    serve: Serve, counted: Counter[str]
) -> None:
    with override_settings(CHANNELS={"OUTBOX_FRAMES": 5}):
        async with serve(accepting) as site:
            peer, protocol, sent = await stuck(site, SlowConsumer.DISCONNECT)

            protocol.write(Joined([broadcast(number) for number in range(8)]))

            assert counted["FrameDropped.disconnected"] == 6
            assert protocol._outbox is None
            assert numbers(await peer.frames(sent)) == list(range(sent))
            assert await peer.closed() == (3001, "slow consumer")


async def test_a_slow_client_may_get_just_the_latest_of_each_key(
    serve: Serve, counted: Counter[str]
) -> None:
    async with serve(accepting) as site:
        peer, protocol, sent = await stuck(site, SlowConsumer.KEEP_LATEST)

        for number in range(10):
            protocol.write(broadcast(sent + number, key=number % 2))

        assert counted["FrameDropped.replaced"] == 8
        assert numbers(await peer.frames(sent + 2))[sent:] == [sent + 8, sent + 9]


async def test_a_slow_client_may_be_sent_away_with_a_code_that_means_come_back(
    serve: Serve, counted: Counter[str]
) -> None:
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while not told or told[-1]["type"] != "websocket.disconnect":
            told.append(await receive())

    with override_settings(CHANNELS={"OUTBOX_FRAMES": 5}):
        async with serve(app) as site:
            peer, protocol, sent = await stuck(site, SlowConsumer.DISCONNECT)

            for number in range(6):
                protocol.write(broadcast(number))

            await eventually(lambda: told[-1].get("code") == 3001)
            assert counted["FrameDropped.disconnected"] == 6
            assert numbers(await peer.frames(sent)) == list(range(sent))
            assert await peer.closed() == (3001, "slow consumer")


async def test_a_client_that_stays_stuck_after_it_was_sent_away_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.server.protocol.CLOSE_TIMEOUT", 0.05)
    async with serve(accepting) as site:
        _, protocol, _ = await stuck(site, SlowConsumer.DROP_NEWEST)

        protocol.close_for_restart()

        await eventually(lambda: not site.state.connections)


async def test_what_a_slow_client_costs_is_bounded(serve: Serve) -> None:
    with override_settings(CHANNELS={"OUTBOX_BYTES": 100_000, "OUTBOX_FRAMES": 1000}):
        async with serve(accepting) as site:
            _, protocol, _ = await stuck(site, SlowConsumer.DROP_OLDEST)

            for number in range(1000):
                protocol.write(broadcast(number))

            held = protocol._outbox.size + protocol._transport.get_write_buffer_size()
            assert held <= 100_000 + 20_000


async def test_a_send_waits_for_the_client_and_a_broadcast_for_nobody(serve: Serve) -> None:
    sends: list[Any] = []
    counts = {"sent": 0}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sends.append(send)
        await send({"type": "websocket.accept"})
        await receive()
        while counts["sent"] < 1000:
            await send({"type": "websocket.send", "text": f"{counts['sent']:06}{PIECE}"})
            counts["sent"] += 1
        await asyncio.Event().wait()

    async with serve(app) as site:
        peer = await site.open(buffer=SMALL)
        [protocol] = site.protocols
        await eventually(lambda: protocol._drained is not None)
        before = counts["sent"]
        await asyncio.sleep(0.05)

        assert counts["sent"] == before < 1000
        await asyncio.wait_for(sends[0](broadcast(999_999, size=1)), 5 * SLOW)
        seen = numbers(await peer.frames(1001))

        assert [number for number in seen if number != 999_999] == list(range(1000))
        assert seen.count(999_999) == 1


async def test_a_send_that_waits_ends_when_the_client_goes(serve: Serve) -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": PIECE})
        except OSError:
            ended.set()
            raise

    async with serve(app) as site:
        peer = await site.open(buffer=SMALL)
        [protocol] = site.protocols
        await eventually(lambda: protocol._drained is not None)

        peer.writer.transport.abort()

        await asyncio.wait_for(ended.wait(), 10 * SLOW)


async def test_frames_unsent_when_the_client_goes_are_counted(
    serve: Serve, counted: Counter[str]
) -> None:
    async with serve(accepting) as site:
        peer, protocol, _ = await stuck(site, SlowConsumer.DROP_NEWEST)
        for number in range(3):
            protocol.write(broadcast(number))

        peer.writer.transport.abort()

        await eventually(lambda: counted["FrameDropped.closed"] == 3)
        protocol.write(broadcast(4))
        # To one that has gone, as it is known now, nothing is sent.
        assert counted["FrameDropped.closed"] == 3


async def test_a_close_comes_behind_what_waits(serve: Serve) -> None:
    async with serve(accepting) as site:
        peer, protocol, sent = await stuck(site, SlowConsumer.DROP_NEWEST)
        protocol.write(broadcast(sent))

        await protocol.send({"type": "websocket.close", "code": 4000})

        assert numbers(await peer.frames(sent + 1)) == list(range(sent + 1))
        assert await peer.closed() == (4000, "")


async def test_pings_of_a_client_that_does_not_read_are_answered_once(serve: Serve) -> None:
    async with serve(accepting) as site:
        peer, protocol, sent = await stuck(site, SlowConsumer.DROP_NEWEST)
        before = protocol._transport.get_write_buffer_size()

        for number in range(2000):
            peer.send(0x89, str(number).encode())
        await eventually(lambda: protocol._owed_pong == b"1999")

        assert protocol._transport.get_write_buffer_size() <= before
        await peer.frames(sent)
        assert await peer.frame() == (0x8A, b"1999")


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written to sockets, a write each."""
    seen: list[bytes] = []

    def write(fd: int, data: bytes) -> int:
        seen.append(data)
        return os.write(fd, data)

    monkeypatch.setattr("channels.server.outgoing.write", write)
    return seen


def text(payload: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": payload}


async def test_what_a_handler_sends_in_one_turn_is_one_write(
    serve: Serve, writes: list[bytes]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        writes.clear()
        for payload in ("one", "two"):
            await send(text(payload))
        assert writes == []
        await leaving(receive)

    async with serve(app) as site:
        peer = await site.open()

        assert await peer.frames(2) == [b"one", b"two"]
        assert writes == [b"\x81\x03one\x81\x03two"]


async def test_a_broadcast_and_the_close_stay_behind_what_a_handler_has_sent(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send(text("one"))
        site.protocols[0].write(Broadcast(text("two")))
        await send(text("three"))

    async with serve(app) as site:
        peer = await site.open()

        assert await peer.frames(3) == [b"one", b"two", b"three"]
        assert await peer.closed() == (1000, "")


async def test_much_is_not_kept_for_the_next_turn(serve: Serve, writes: list[bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        writes.clear()
        await send(text("x" * (MOST_UNSENT - 100)))
        assert writes == []
        await send(text("y" * 200))
        assert len(writes) == 1
        await send(text("z"))
        await leaving(receive)

    async with serve(app) as site:
        peer = await site.open()

        assert [payload[:1] for payload in await peer.frames(3)] == [b"x", b"y", b"z"]


async def test_what_a_handler_sends_to_a_client_that_has_just_gone_harms_nobody(
    serve: Serve,
) -> None:
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.connect"
        if (await receive())["text"] == "abort":
            # Nothing says yet that it has gone, and then that comes before the frame is written.
            site.protocols[0]._transport.abort()
        await send(text("too late"))
        await leaving(receive)
        gone.set()

    async with serve(app) as site:
        peer = await site.open()
        peer.text("abort")
        await asyncio.wait_for(gone.wait(), 5 * SLOW)
        other = await site.open()
        other.text("hello")

        assert await other.frames(1) == [b"too late"]

"""What a broker in memory keeps for others."""

from __future__ import annotations

import asyncio

from channels.history.memory import MemoryTopics
from channels.testing.contract.listening import KEPT, Recorder


async def test_nothing_is_kept_for_a_broker_whose_loop_has_been_closed() -> None:
    topics = MemoryTopics()
    ended = asyncio.new_event_loop()

    async def listen() -> object:
        broker = topics.open(Recorder())
        await broker.listen("room.1")
        return broker

    # Closed as by a caller that knows nothing of asynchronous generators.
    abandoned = await asyncio.to_thread(ended.run_until_complete, listen())
    here = topics.open(Recorder())
    ended.close()
    for number in range(3):
        await here.publish("room.1", b"1", retention=KEPT, publication_id=str(number))

    assert len(abandoned._heard) == 0  # type: ignore[attr-defined]
    await here.close()

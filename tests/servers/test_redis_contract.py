"""One contract, both Redis layers, every topology."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from channels.testing.contract import AttachingLayerContract, ChannelLayerContract
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.servers.conftest import TOPOLOGIES
from tests.servers.engines import Engine

OPTIONS: dict[str, Any] = {"capacity": 20}


@pytest.fixture(params=TOPOLOGIES)
def engine(request: pytest.FixtureRequest, engine_of: Callable[[str], Engine]) -> Engine:
    return engine_of(request.param)


class RedisContract(ChannelLayerContract, AttachingLayerContract):
    """Both suites, over a layer of its own prefix for each test."""

    silence = 0.15
    backend: Callable[..., Any]

    async def settle(self, layer: Any) -> None:
        await asyncio.sleep(self.silence)

    @pytest.fixture
    async def layer(self, engine: Engine) -> AsyncIterator[Any]:
        layer = self.backend(engine.hosts, prefix=_prefix(), **OPTIONS)
        yield layer
        await layer.close_pools()

    @pytest.fixture
    async def brief_layer(self, engine: Engine) -> AsyncIterator[Any]:
        layer = self.backend(engine.hosts, prefix=_prefix(), expiry=1, group_expiry=1, **OPTIONS)
        yield layer
        await layer.close_pools()


class TestCore(RedisContract):
    backend = RedisChannelLayer


class TestPubSub(RedisContract):
    backend = RedisPubSubChannelLayer
    hearing = 0.15

    # Names are taken as they are, as upstream does.
    test_a_bad_channel_name_is_refused = None
    test_a_bad_group_name_is_refused = None
    test_new_channels_have_names_of_their_own_that_only_this_process_reads = None
    # A group holds channels of its process alone.
    test_names_have_1_to_99_characters_of_every_legal_kind = None
    test_a_full_member_alone_misses_a_group_message = None
    # A normal channel is heard by every process that reads it, and by none that does not yet.
    test_a_normal_channel_keeps_messages_until_somebody_reads = None
    test_expired_messages_take_no_room = None
    # Whoever publishes does not know how full its readers are.
    test_a_full_channel_refuses_a_message_and_keeps_what_it_has = None
    test_a_full_inbox_refuses_what_is_sent_and_misses_what_the_group_gets = None


def _prefix() -> str:
    return f"asgi-{uuid.uuid4().hex[:8]}"

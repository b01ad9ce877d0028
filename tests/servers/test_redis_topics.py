"""The contract of topics, over both Redis layers and every topology."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from channels.testing.contract import TopicBrokerContract
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.servers.conftest import TOPOLOGIES
from tests.servers.engines import Engine
from tests.slow import SLOW


class RedisTopics(TopicBrokerContract):
    """The suite, over layers of one new prefix for each test."""

    arrival = 10.0 * SLOW
    silence = 0.15

    @pytest.fixture
    def backend(self) -> Callable[..., Any]:
        return RedisChannelLayer

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    async def open_broker(
        self, engine: Engine, backend: Callable[..., Any], options: dict[str, Any]
    ) -> AsyncIterator[Callable[[Any], Any]]:
        prefix = f"asgi-{uuid.uuid4().hex[:8]}"
        layers: list[Any] = []

        def open_broker(listener: Any) -> Any:
            layers.append(backend(engine.hosts, prefix=prefix, **options))
            return layers[-1].topic_broker(listener)

        yield open_broker
        for layer in layers:
            await layer.close_pools()


class TestEveryTopology(RedisTopics):
    @pytest.fixture(params=TOPOLOGIES)
    def engine(self, request: pytest.FixtureRequest, engine_of: Callable[[str], Engine]) -> Engine:
        return engine_of(request.param)


class TestPubSub(RedisTopics):
    @pytest.fixture
    def engine(self, engine_of: Callable[[str], Engine]) -> Engine:
        return engine_of("two shards")

    @pytest.fixture
    def backend(self) -> Callable[..., Any]:
        return RedisPubSubChannelLayer


class TestEncrypted(RedisTopics):
    @pytest.fixture
    def engine(self, engine_of: Callable[[str], Engine]) -> Engine:
        return engine_of("single")

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"symmetric_encryption_keys": ["first", "second"]}

"""The broker of topics within one process."""

from __future__ import annotations

from typing import Any

import pytest

from channels.layers import InMemoryChannelLayer
from channels.testing.contract.topics import TopicBrokerContract


class TestMemoryTopicBroker(TopicBrokerContract):
    @pytest.fixture
    def open_broker(self) -> Any:
        return InMemoryChannelLayer().topic_broker

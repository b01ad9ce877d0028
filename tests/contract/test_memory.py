"""The in-memory channel layer does what every layer must."""

from __future__ import annotations

import pytest

from channels.layers import InMemoryChannelLayer
from channels.testing.contract import AttachingLayerContract, ChannelLayerContract
from tests.unit.channels.layers.conftest import Clock


@pytest.mark.usefixtures("_clock")
class TestInMemoryChannelLayer(ChannelLayerContract, AttachingLayerContract):
    expires_memberships_of_unread_channels = True
    layer = brief_layer = pytest.fixture(lambda self: InMemoryChannelLayer())

    clock: Clock

    @pytest.fixture
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        type(self).clock = Clock()
        monkeypatch.setattr("channels.layers.hub.time", self.clock)
        monkeypatch.setattr("channels.layers.inbox.time", self.clock)

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

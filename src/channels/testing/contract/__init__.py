"""What every channel layer must do, as tests for pytest.

A backend is done when a subclass of these passes::

    class TestMyLayer(ChannelLayerContract):
        @pytest.fixture
        def layer(self):
            return MyLayer()

        @pytest.fixture
        def brief_layer(self):
            return MyLayer(expiry=1, group_expiry=1)

``layer`` gives an empty layer whose messages live for ten seconds or more and whose capacity is
between 4 and some hundreds; ``brief_layer`` gives one with an ``expiry`` and a ``group_expiry``
so short that tests can wait for them. Names are new in every test, so layers over one broker may
run side by side.

The tests are coroutines: they need pytest-asyncio in its auto mode, or its mark on the subclass.
Where layers differ by design, the subclass sets the attributes below. A test that a layer cannot
pass by design is set to ``None`` there, with the reason beside it.

Attributes of the suites:
    arrival: Seconds within which a message that was sent is received.
    silence: Seconds without a message that prove that none comes.
    hearing: Seconds after which a broker has heard of a reader.
    expires_memberships: A membership that nobody refreshes ends after ``group_expiry``.
    expires_memberships_of_unread_channels: A channel whose message expired unread has left its
        groups.
"""

from __future__ import annotations

from channels.testing.contract.attaching import AttachingLayerContract
from channels.testing.contract.delivery import DeliveryContract
from channels.testing.contract.groups import GroupContract
from channels.testing.contract.messages import MessageContract, NameContract
from channels.testing.contract.threads import ThreadContract
from channels.testing.contract.topics import TopicBrokerContract

__all__ = ["AttachingLayerContract", "ChannelLayerContract", "TopicBrokerContract"]


class ChannelLayerContract(
    DeliveryContract, GroupContract, MessageContract, NameContract, ThreadContract
):
    """What every channel layer must do; see the module for what a subclass provides."""

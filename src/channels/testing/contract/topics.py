"""What every broker of topics must do.

A broker is done when a subclass of this passes::

    class TestMyBroker(TopicBrokerContract):
        @pytest.fixture
        def open_broker(self):
            layer = MyLayer()
            return layer.topic_broker

``open_broker(listener)`` gives a broker, each as a process of its own has it; whoever makes it
closes it. Names are new in every test.
"""

from __future__ import annotations

from channels.testing.contract.history import HistoryContract
from channels.testing.contract.listening import Recorder
from channels.testing.contract.presence import PresenceContract

__all__ = ["Recorder", "TopicBrokerContract"]


class TopicBrokerContract(HistoryContract, PresenceContract):
    """What every broker of topics must do; see the module for what a subclass provides."""

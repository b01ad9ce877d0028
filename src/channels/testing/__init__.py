"""What a project's tests talk to its applications with."""

from __future__ import annotations

import sys

from channels.testing.application import ApplicationCommunicator
from channels.testing.http import HttpCommunicator
from channels.testing.live import ChannelsLiveServerTestCase
from channels.testing.websocket import WebsocketCommunicator

# The suite for backends is written with plain asserts, which pytest explains only in modules it
# was told of before their import. Here it is told if it runs, and is not needed if it does not.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite("channels.testing.contract")

__all__ = [
    "ApplicationCommunicator",
    "ChannelsLiveServerTestCase",
    "HttpCommunicator",
    "WebsocketCommunicator",
]

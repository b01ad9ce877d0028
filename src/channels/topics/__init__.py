"""Topics: what a page subscribes to over one connection, with history and presence."""

from channels.topics.calls import CallError, call
from channels.topics.consumer import TopicConsumer
from channels.topics.events import TopicEvents
from channels.topics.presence import Presence
from channels.topics.session import Identity, Limits, Refused
from channels.topics.signing_out import adisconnect_user, disconnect_user
from channels.topics.standing import aposition, position
from channels.topics.topic import Reliable, Topic, Volatile

__all__ = [
    "CallError",
    "Identity",
    "Limits",
    "Presence",
    "Refused",
    "Reliable",
    "Topic",
    "TopicConsumer",
    "TopicEvents",
    "Volatile",
    "adisconnect_user",
    "aposition",
    "call",
    "disconnect_user",
    "position",
]

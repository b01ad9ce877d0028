"""Channel layers: messages between consumers, to channels and to groups."""

from channels.layers.base import BaseChannelLayer
from channels.layers.from_sync import group_send_sync, send_sync
from channels.layers.memory import InMemoryChannelLayer
from channels.layers.registry import ChannelLayerManager, channel_layers, get_channel_layer

__all__ = [
    "BaseChannelLayer",
    "ChannelLayerManager",
    "InMemoryChannelLayer",
    "channel_layers",
    "get_channel_layer",
    "group_send_sync",
    "send_sync",
]

"""Channel layers: messages between consumers, to channels and to groups."""

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import ChannelFull, InvalidChannelLayerError
from channels.layers.base import BaseChannelLayer
from channels.layers.from_sync import group_send_sync, send_sync
from channels.layers.memory import InMemoryChannelLayer
from channels.layers.registry import ChannelLayerManager, channel_layers, get_channel_layer

# Projects import the default alias and the errors from here, too.
__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "BaseChannelLayer",
    "ChannelFull",
    "ChannelLayerManager",
    "InMemoryChannelLayer",
    "InvalidChannelLayerError",
    "channel_layers",
    "get_channel_layer",
    "group_send_sync",
    "send_sync",
]

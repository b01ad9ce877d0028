"""Sending through a channel layer from sync code, without an event loop for each call.

``async_to_sync`` starts a thread and an event loop every time; these functions share one.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

from channels import DEFAULT_CHANNEL_LAYER
from channels.background import run_after_commit
from channels.exceptions import InvalidChannelLayerError
from channels.layers.base import BaseChannelLayer
from channels.layers.registry import get_channel_layer
from channels.typing import Message


def group_send_sync(
    group: str,
    message: Message,
    *,
    after_commit: bool = True,
    using: str = DEFAULT_DB_ALIAS,
    layer: str = DEFAULT_CHANNEL_LAYER,
) -> None:
    """Send ``message`` to a group, as ``group_send`` of the layer does, from sync code.

    Inside a transaction it is sent, as it is then, when that has been committed, and not at all if
    it is rolled back; what goes wrong then is raised where the transaction ends.

    Costs a task and two thread hops beside what the layer takes.

    Args:
        group: Its name.
        message: A dict with a ``type``.
        after_commit: Wait for the commit of a transaction; ``False`` sends at once.
        using: The database whose transaction counts.
        layer: Alias of the channel layer.

    Raises:
        InvalidChannelLayerError: There is no such layer, or it cannot be used.
        InvalidNameError: ``group`` is no group name; at once, also in a transaction.
        SynchronousOnlyOperation: The caller runs in an event loop; await ``group_send`` there.
        Exception: What ``group_send`` of the layer raises.
    """
    found = _find(layer)
    if isinstance(found, BaseChannelLayer):
        found.require_valid_group_name(group)
    run_after_commit(
        lambda: found.group_send(group, message),
        using=using if after_commit else None,
        instead="await group_send() of the channel layer",
    )


def send_sync(
    channel: str,
    message: Message,
    *,
    after_commit: bool = True,
    using: str = DEFAULT_DB_ALIAS,
    layer: str = DEFAULT_CHANNEL_LAYER,
) -> None:
    """Send ``message`` to a channel from sync code; all else is as in ``group_send_sync``.

    Raises:
        ChannelFull: The channel is at capacity. Nothing was sent.
    """
    found = _find(layer)
    if isinstance(found, BaseChannelLayer):
        found.require_valid_channel_name(channel)
    run_after_commit(
        lambda: found.send(channel, message),
        using=using if after_commit else None,
        instead="await send() of the channel layer",
    )


def _find(alias: str) -> Any:
    layer = get_channel_layer(alias)
    if layer is None:
        raise InvalidChannelLayerError(f"CHANNEL_LAYERS has no layer {alias!r}")
    return layer

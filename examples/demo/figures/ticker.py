"""One background task per process, which tells all dashboards the figures of each second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from channels.exceptions import LayerUnavailableError
from channels.publish import apublish
from figures.topics import FiguresTopic

SECONDS_KEPT = 90
FIGURES = {"connections": ["connections"], "messages": ["sent", "received"]}


@dataclass
class Traffic:
    """What has gone through the sockets of this process since it started."""

    connections: int = 0
    received: int = 0
    sent: int = 0


traffic = Traffic()
recent: deque[dict[str, Any]] = deque(maxlen=SECONDS_KEPT)
_task: asyncio.Task[None] | None = None


def start_once() -> None:
    """Start the task with the first socket; later calls find it running and do nothing."""
    global _task  # also keeps the task from being collected as garbage
    if _task is None or _task.done():
        # An empty context: the task outlives the connection that happened to start it.
        _task = asyncio.get_running_loop().create_task(_tick(), context=Context())


async def _tick() -> None:
    measured_at, received, sent = time.monotonic(), traffic.received, traffic.sent
    while True:
        await asyncio.sleep(1)
        seconds = time.monotonic() - measured_at
        point = {
            "at": time.time(),
            "connections": traffic.connections,
            "received": round((traffic.received - received) / seconds, 1),
            "sent": round((traffic.sent - sent) / seconds, 1),
        }
        measured_at, received, sent = time.monotonic(), traffic.received, traffic.sent
        recent.append(point)
        with contextlib.suppress(LayerUnavailableError):  # the next second is as good
            await tell_dashboards(point)


async def tell_dashboards(point: dict[str, Any]) -> None:
    """Publish each figure of a second under a key of its own, by which a later one replaces it."""
    for key, names in FIGURES.items():
        figure = {name: point[name] for name in names}
        await apublish(
            FiguresTopic.topic_name(), {"chart": key, "at": point["at"], **figure}, key=key
        )

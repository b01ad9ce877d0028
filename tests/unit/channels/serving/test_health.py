"""What a load balancer is told."""

from __future__ import annotations

from typing import Any

import pytest

from channels.serving.health import Health
from channels.testing import HttpCommunicator
from channels.typing import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def ask(health: Health, path: str) -> tuple[int, bytes]:
    response: Any = await HttpCommunicator(health, "GET", path).get_response()
    return response["status"], response["body"]


@pytest.mark.parametrize("is_ready", [True, False])
async def test_health_and_readiness(is_ready: bool) -> None:
    health = Health(application, "/live", "/ready")
    health.is_ready = is_ready

    assert await ask(health, "/live") == (200, b"ok\n")
    assert await ask(health, "/ready") == ((200, b"ok\n") if is_ready else (503, b"draining\n"))
    assert await ask(health, "/other") == (204, b"")


async def test_an_empty_path_is_none() -> None:
    health = Health(application, "", "")

    assert not health.paths
    assert await ask(health, "/") == (204, b"")

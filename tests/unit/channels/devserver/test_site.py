"""How a site is handed to uvicorn, and how it stops."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import time
from typing import Any

import pytest
import uvicorn

from channels.devserver.site import LONGEST_SHUTDOWN, Site, _protocol
from channels.typing import Receive, Scope, Send

OPTIONS = {
    "http_timeout": None,
    "websocket_handshake_timeout": 5,
    "websocket_max_message_size": 1048576,
    "websocket_max_frame_size": 1048576,
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError("only HTTP here")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.mark.parametrize(
    ("message", "frame", "limits"),
    [
        (1000, 1000, (1000, 1000)),
        (1000, 2000, (1000, 1000)),
        (1000, 0, (1000, 1000)),
        (0, 0, (sys.maxsize, sys.maxsize)),
        (1000, 10, (1000, 10)),
        (0, 10, (sys.maxsize, 10)),
    ],
)
def test_the_options_are_the_limits_of_a_socket(message: int, frame: int, limits: Any) -> None:
    options = OPTIONS | {"websocket_max_message_size": message, "websocket_max_frame_size": frame}

    read = _protocol(options).read_limits(uvicorn.Config("app:app"))

    assert (read.max_message_bytes, read.max_frame_bytes) == limits
    assert read.handshake_timeout == 5


def test_no_time_out_of_the_handshake_is_a_very_long_one() -> None:
    protocol = _protocol(OPTIONS | {"websocket_handshake_timeout": 0})

    assert protocol.read_limits(uvicorn.Config("app:app")).handshake_timeout > 10**6


def test_site_serves_in_a_thread_until_it_is_stopped_from_another() -> None:
    seen: list[str] = []
    site = Site(application, OPTIONS, lambda protocol, action, details: seen.append(action))
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    thread = threading.Thread(target=site.serve, args=[listener])
    thread.start()

    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", "/path")
    body = connection.getresponse().read()
    connection.close()
    site.stop()
    thread.join(10)

    assert body == b"/path"
    assert seen == ["complete"]
    assert not thread.is_alive()


def test_site_that_never_served_is_stopped_at_once() -> None:
    began = time.monotonic()

    Site(application, OPTIONS, print).stop()

    assert time.monotonic() - began < LONGEST_SHUTDOWN

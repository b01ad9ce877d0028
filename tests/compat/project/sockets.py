"""The smallest HTTP and WebSocket clients that scenarios with a real server need."""

from __future__ import annotations

import base64
import os
import socket
import struct
import urllib.error
import urllib.request


def fetch(url: str) -> tuple[int, str]:
    """Return status and text of a GET request."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def handshake(port: int, path: str) -> tuple[socket.socket, str]:
    """Open a WebSocket; return the socket and the status line of the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    connection = socket.create_connection(("localhost", port), timeout=5)
    connection.sendall(request.encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    return connection, head.split(b"\r\n")[0].decode()


def send_text(connection: socket.socket, text: str) -> None:
    """Send one short masked text frame."""
    _frame(connection, 0x81, text.encode())


def read_text(connection: socket.socket) -> str:
    """Read one short text frame from the server."""
    _, length = _exactly(connection, 2)
    return _exactly(connection, length).decode()


def leave(connection: socket.socket, code: int = 1000) -> None:
    """Send a close frame and wait for the server to hang up."""
    _frame(connection, 0x88, struct.pack("!H", code))
    while connection.recv(1024):
        pass
    connection.close()


def _frame(connection: socket.socket, first: int, payload: bytes) -> None:
    connection.sendall(bytes([first, 0x80 | len(payload)]) + b"\0\0\0\0" + payload)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += connection.recv(count - len(found))
    return found

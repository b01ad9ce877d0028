"""Starts a real server for the tests of this folder, asks it things, and stops it again."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.slow import SLOW

ROOT: Final = Path(__file__).resolve().parents[2]
APPLICATION: Final = "tests.integration.apps.chat:application"
COMMANDS: Final = {
    "serve": "django serve --port {port} --workers 1 --drain-window 0 --drain-timeout 5 "
    "--settings tests.integration.apps.settings",
    "seaway": "uvicorn {app} --port {port} --ws channels.server:WebSocketProtocol "
    "--http channels.server:HttpProtocol",
    "uvicorn": "uvicorn {app} --port {port}",
    # Its default before, deprecated now.
    "uvicorn-websockets": "uvicorn {app} --port {port} --ws websockets",
    "hypercorn": "hypercorn {app} --bind 127.0.0.1:{port}",
    "granian": "granian {app} --interface asgi --port {port}",
    "daphne": "daphne {app} --port {port}",
}
"""How each server is started, as its users start it; each runs as ``python -m``."""


class Server:
    """A server in a process of its own.

    Args:
        name: A key of ``COMMANDS``.
        log: The file that it writes to.

    Attributes:
        name: As given.
        address: ``127.0.0.1:port``.
    """

    def __init__(self, name: str, log: Path) -> None:
        port = _free_port()
        self.name = name
        self.address = f"127.0.0.1:{port}"
        self._log = log
        command = COMMANDS[name].format(app=APPLICATION, port=port).split()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                # A group of its own, so that a server's workers can be ended with it.
                start_new_session=True,
            )

    def request(
        self, path: str, *, method: str = "GET", body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Make an HTTP request and return the response and its whole body."""
        connection = http.client.HTTPConnection(self.address, timeout=20 * SLOW)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``."""
        return json.loads(self.request(path)[1])

    def log(self, start: int = 0) -> str:
        """Return what the server has written, from position ``start`` on."""
        return self._log.read_text(encoding="utf-8", errors="replace")[start:]

    def logged(self, text: str, start: int) -> bool:
        """Return whether the server writes ``text`` within five seconds."""
        deadline = time.monotonic() + 5 * SLOW
        while text not in self.log(start):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def wait_until_ready(self) -> None:
        """Return when the application answers.

        Raises:
            RuntimeError: It does not within 20 s; the message has the log.
        """
        deadline = time.monotonic() + 20 * SLOW
        while True:
            try:
                self.request("/journal/ready/")
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not serve:\n{self.log()}") from None
                time.sleep(0.02)
            else:
                return

    def resident_bytes(self) -> int:
        """Return how much memory the server and its workers have in use."""
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return sum(map(_resident_bytes, (str(pid), *workers)))

    def stop(self) -> None:
        """Ask the server to end, and wait until it has; again is a no-op.

        Raises:
            TimeoutExpired: It had to be killed.
        """
        self._process.terminate()
        try:
            self._process.wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise


@contextmanager
def serve(name: str, log: Path) -> Iterator[Server]:
    """Run the server ``name`` until the block ends; it writes to ``log``."""
    server = Server(name, log)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def _resident_bytes(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

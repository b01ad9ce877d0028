"""The network between a browser and a server, which can go away without a word to either."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

CHUNK: Final = 65_536


class Link:
    """Forwards TCP connections to a port of this machine.

    After ``cut`` the connections that there are stay open and carry nothing, ever again, and new
    ones are closed; after ``mend`` new ones are forwarded.

    Args:
        port: Of the server.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url: str = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_cut = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Carry nothing."""
        self._is_cut.set()

    def mend(self) -> None:
        """Carry what new connections send."""
        self._is_cut = threading.Event()

    def close(self) -> None:
        """End everything."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut.is_set():
                near.close()
                continue
            far = socket.create_connection(self._server)
            self._sockets += (near, far)
            for source, target in ((near, far), (far, near)):
                threading.Thread(
                    target=_carry, args=(source, target, self._is_cut), daemon=True
                ).start()


def _carry(source: socket.socket, target: socket.socket, is_cut: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            if is_cut.is_set():
                return
            target.sendall(data)
        if not is_cut.is_set():
            target.shutdown(socket.SHUT_WR)

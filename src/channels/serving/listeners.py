"""The sockets that all workers accept from."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from channels.serving.options import Options


class _UnixListener(socket.socket):
    """Listens at a path, and knows its own file there."""

    def __init__(self, path: str, mode: int) -> None:
        super().__init__(socket.AF_UNIX)
        self._path = path
        # From its first moment it is open to nobody else.
        before = os.umask(0o177)
        try:
            self.bind(path)
        except BaseException:
            self.close()
            raise
        finally:
            os.umask(before)
        os.chmod(path, mode)
        self._file = _identity(path)

    def remove_file(self) -> None:
        """Remove the file, unless another has taken its place."""
        with contextlib.suppress(FileNotFoundError):
            if _identity(self._path) == self._file:
                Path(self._path).unlink()


def open_listener(options: Options) -> socket.socket:
    """Return a listening socket for TCP, a path, or an inherited descriptor.

    A socket file that nobody listens on any more is replaced.

    Raises:
        OSError: The address cannot be had; the descriptor is no listening socket.
    """
    if options.fd is not None:
        return _inherited(options.fd)
    if options.unix_socket is not None:
        return _at_path(options.unix_socket, options.unix_mode, options.backlog)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    return socket.create_server(
        (options.host, options.port), family=family, backlog=options.backlog
    )


def close_listener(listener: socket.socket) -> None:
    """Close what ``open_listener`` has opened, and remove its file; never that of a successor."""
    listener.close()
    if isinstance(listener, _UnixListener):
        listener.remove_file()


def show_address(listener: socket.socket, options: Options) -> str:
    """Return where clients find it, as a URL or a path."""
    address = listener.getsockname()
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{'https' if options.tls_certificate else 'http'}://{host}:{address[1]}"


def _inherited(fd: int) -> socket.socket:
    with contextlib.suppress(OSError):
        listener = socket.socket(fileno=os.dup(fd))
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return listener
        listener.close()
    raise OSError(errno.EINVAL, f"descriptor {fd} is not a listening socket")


def _at_path(path: str, mode: int, backlog: int) -> socket.socket:
    if os.path.exists(path):
        _remove_stale(path)
    listener = _UnixListener(path, mode)
    listener.listen(backlog)
    return listener


def _remove_stale(path: str) -> None:
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise OSError(errno.EEXIST, f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise OSError(errno.EADDRINUSE, f"somebody listens at {path} already")


def _identity(path: str) -> tuple[int, int, int]:
    """Return what tells a file from a later one; the number of an inode is soon given again."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns

"""Where the workers accept: a port, a path, or what was inherited."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import pytest

from channels.serving.listeners import close_listener, open_listener, show_address
from channels.serving.options import Options


def test_a_port_is_shown_as_a_url() -> None:
    options = Options(port=0)
    listener = open_listener(options)

    port = listener.getsockname()[1]
    assert show_address(listener, options) == f"http://127.0.0.1:{port}"
    assert show_address(listener, Options(tls_certificate="x")) == f"https://127.0.0.1:{port}"
    close_listener(listener)


def test_an_ipv6_address_stands_in_brackets() -> None:
    options = Options(host="::1", port=0)
    listener = open_listener(options)

    assert re.fullmatch(r"http://\[::1\]:\d+", show_address(listener, options))
    close_listener(listener)


def test_a_path_has_the_mode_that_was_asked_for_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    options = Options(unix_socket=str(path), unix_mode=0o600)

    listener = open_listener(options)

    assert path.stat().st_mode & 0o777 == 0o600
    assert show_address(listener, options) == f"unix:{path}"
    close_listener(listener)
    assert not path.exists()


def test_a_socket_file_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    options = Options(unix_socket=path)

    listener = open_listener(options)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    close_listener(listener)


def test_a_listener_that_ends_leaves_the_file_of_its_successor(tmp_path: Path) -> None:
    options = Options(unix_socket=str(tmp_path / "socket"))
    old = open_listener(options)
    old.close()
    # The clock of a file system moves every few milliseconds, and the next file may have the inode.
    time.sleep(0.02)
    new = open_listener(options)

    close_listener(old)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))
    close_listener(new)


def test_a_file_that_has_gone_already_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = open_listener(Options(unix_socket=str(path)))
    path.unlink()

    close_listener(listener)

    assert not path.exists()


def test_a_path_where_somebody_listens_is_left_to_them(tmp_path: Path) -> None:
    options = Options(unix_socket=str(tmp_path / "socket"))
    listener = open_listener(options)

    with pytest.raises(OSError, match=r"somebody listens at .*socket already"):
        open_listener(options)
    close_listener(listener)


def test_a_file_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")

    with pytest.raises(OSError, match="exists and is not a socket"):
        open_listener(Options(unix_socket=str(path)))
    assert path.read_text() == "data"


def test_a_path_that_cannot_be_had_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        open_listener(Options(unix_socket=str(tmp_path / "nowhere" / "socket")))


def test_an_inherited_descriptor_is_used_and_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        listener = open_listener(Options(fd=inherited.fileno()))

        assert listener.getsockname() == inherited.getsockname()
        close_listener(listener)
        with socket.create_connection(inherited.getsockname()):
            pass


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    with open(os.devnull) as file, pytest.raises(OSError, match="is not a listening socket"):
        open_listener(Options(fd=file.fileno()))
    with socket.socket() as quiet, pytest.raises(OSError, match="is not a listening socket"):
        open_listener(Options(fd=quiet.fileno()))

"""Which sockets may be written to past their transport."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from channels import descriptors
from channels.descriptors import NONE, descriptor_of


class Transport(asyncio.Transport):
    """Has the given information."""

    def __init__(self, **info: Any) -> None:
        super().__init__(info)


@pytest.fixture
def endpoint() -> Any:
    with socket.socket() as endpoint:
        yield endpoint


def test_a_plain_socket_is_written_to_by_its_descriptor(endpoint: socket.socket) -> None:
    assert descriptor_of(Transport(socket=endpoint)) == endpoint.fileno() >= 0


def test_what_is_encrypted_or_no_socket_has_none(endpoint: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    assert descriptor_of(Transport(socket=endpoint, sslcontext=context)) == NONE
    assert descriptor_of(Transport()) == NONE


def test_where_sockets_are_no_files_there_is_none(
    endpoint: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors.os, "name", "nt")

    assert descriptor_of(Transport(socket=endpoint)) == NONE

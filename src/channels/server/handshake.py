"""The opening handshake: what a request asks for, and the bytes that answer it.

A request whose every part is beyond doubt, as browsers send it, is answered here. Any other is
judged by the ``websockets`` package, which also negotiates extensions, once for each offer.
Everything that an application puts into a response is checked here, so that no value can end a
header early.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from websockets.datastructures import Headers as FieldLines
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.http11 import Request
from websockets.server import ServerProtocol

from channels.typing import Scope

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
# RFC 9110, 5.5: visible characters, spaces and tabs. Nothing that could end a line.
VALUE: Final = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
# A tuple: to make the union of both for each header takes longer than all else about it.
BYTES: Final = (bytes, bytearray)
OURS: Final = frozenset(
    {
        b"connection",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"upgrade",
    }
)
"""Headers of the answer that the server alone decides on."""

LONGEST_PLAIN: Final = 8192
"""Bytes of a head up to which no line of it is too long for ``websockets``."""
LONGEST_OFFER: Final = 256
"""Bytes of an offer of extensions whose answer may be kept."""
PLAIN: Final = re.compile(
    rb"GET [!-~]+ HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n){4,100}\r\n"
)
KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
SUBPROTOCOLS: Final = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:, ?[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*"
)
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Nobody keeps context from one message to the next, so that sockets share deflated frames and an
# idle one holds no state of zlib (RFC 7692, 7.1.1).
DEFLATE: Final = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True, client_no_context_takeover=True
)

Headers = Iterable[tuple[bytes, bytes]]


class Handshake(NamedTuple):
    """What a client asks for, and the server's part of the answer.

    ``target`` and ``headers`` are the request's, the names in lower case. ``answer`` holds the
    first lines of the response that accepts. ``refusal`` holds a whole response where the request
    is no WebSocket handshake; then nothing else is of use. ``window_bits`` are permessage-deflate's
    towards the client, 0 without it.
    """

    target: bytes
    headers: list[tuple[bytes, bytes]]
    answer: bytes
    window_bits: int
    refusal: bytes | None


def read_request(head: bytes, *, offers_deflate: bool) -> Handshake | None:
    """Judge the head of a request; ``None`` if it is not whole, no HTTP or has no ASCII path.

    Args:
        head: All of it, as bytes.
        offers_deflate: Accept permessage-deflate where the client offers it.
    """
    return read_plain_request(head, offers_deflate=offers_deflate) or judge_request(
        head, offers_deflate=offers_deflate
    )


def read_plain_request(head: bytes, *, offers_deflate: bool) -> Handshake | None:
    """Do what ``judge_request`` does, for a request that is right; ``None`` for any in doubt."""
    if len(head) > LONGEST_PLAIN or not PLAIN.fullmatch(head):
        return None
    target, headers = _read_head(head)
    fields = dict(headers)
    if len(fields) < len(headers) or not _asks_plainly(fields):
        return None
    offer = fields.get(b"sec-websocket-extensions") if offers_deflate else None
    extensions, window_bits = b"", 0
    if offer is not None:
        try:
            extensions, window_bits = _negotiate(offer.decode("ascii"))
        except (InvalidHandshake, UnicodeDecodeError):
            return None
    digest = hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest()  # noqa: S324 - RFC 6455
    answer = b"%b%b\r\n%b" % (ACCEPTING, base64.b64encode(digest), extensions)
    return Handshake(target, headers, answer, window_bits, None)


def judge_request(head: bytes, *, offers_deflate: bool) -> Handshake | None:
    """Have ``websockets`` do what ``read_request`` says."""
    judge = ServerProtocol(extensions=[DEFLATE] if offers_deflate else [])
    judge.receive_data(head)
    request = next((event for event in judge.events_received() if isinstance(event, Request)), None)
    if request is None or not request.path.isascii():
        return None
    response = judge.accept(request)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        return Handshake(b"", [], b"", 0, response.serialize())
    lines = [
        f"{name}: {value}\r\n".encode("ascii")
        for name, value in response.headers.raw_items()
        if name != "Date"
    ]
    answer = b"".join([b"HTTP/1.1 101 Switching Protocols\r\n", *lines])
    return Handshake(*_read_head(head), answer, _window_bits(judge.extensions), None)


def _read_head(head: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    # The bytes as they came; the names of common headers as one object for all connections.
    first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    fields = [line.partition(b":") for line in lines]
    headers = [(_shared(name.lower()), value.strip(b" \t")) for name, _, value in fields]
    return first.split(b" ")[1], headers


ACCEPTING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)


def _asks_plainly(fields: dict[bytes, bytes]) -> bool:
    """Return whether these are of a handshake (RFC 6455, 4.2.1), and nothing in them is odd."""
    protocols = fields.get(b"sec-websocket-protocol")
    return (
        fields.get(b"upgrade", b"").lower() == b"websocket"
        and fields.get(b"connection", b"").lower() in (b"upgrade", b"keep-alive, upgrade")
        and fields.get(b"sec-websocket-version") == b"13"
        and KEY.fullmatch(fields.get(b"sec-websocket-key", b"")) is not None
        and (protocols is None or SUBPROTOCOLS.fullmatch(protocols) is not None)
        and len(fields.get(b"sec-websocket-extensions", b"")) <= LONGEST_OFFER
        and b"transfer-encoding" not in fields
        and b"content-length" not in fields
    )


@functools.lru_cache(maxsize=256)
def _negotiate(offer: str) -> tuple[bytes, int]:
    """Return the line that answers an offer of extensions, maybe empty, and the window's bits.

    Raises:
        InvalidHandshake: It is none.
    """
    judge = ServerProtocol(extensions=[DEFLATE])
    answer, extensions = judge.process_extensions(FieldLines({"Sec-WebSocket-Extensions": offer}))
    line = b"" if answer is None else f"Sec-WebSocket-Extensions: {answer}\r\n".encode("ascii")
    return line, _window_bits(extensions)


def _window_bits(extensions: Iterable[object]) -> int:
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate):
            return extension.local_max_window_bits
    return 0


def fill_scope(scope: Scope, asked: Handshake, root_path: str) -> Scope:
    """Add to ``scope`` what the request says, and return it (ASGI 3.0, WebSocket scope).

    Args:
        scope: What is known already.
        asked: The request.
        root_path: Prefix of every path.
    """
    path, _, query = asked.target.partition(b"?")
    scope["path"] = root_path + unquote(path.decode("ascii"))
    scope["raw_path"] = root_path.encode("ascii") + path
    scope["root_path"] = root_path
    scope["query_string"] = query
    scope["headers"] = asked.headers
    scope["subprotocols"] = [
        token.strip().decode("latin-1")
        for name, value in asked.headers
        if name == b"sec-websocket-protocol"
        for token in value.split(b",")
    ]
    return scope


def accept_response(
    handshake: Handshake,
    subprotocol: str | None,
    headers: Headers = (),
    *,
    defaults: Headers = (),
) -> bytes:
    """Return the response that opens the socket.

    Args:
        handshake: The client's.
        subprotocol: Chosen by the application, or ``None``.
        headers: Those of the application.
        defaults: Those of the server, the same for many responses.

    Raises:
        ValueError: A header or the subprotocol is none, or one that is the server's to set.
    """
    lines = [handshake.answer]
    if subprotocol is not None:
        chosen = subprotocol.encode("utf-8", "replace")
        if not TOKEN.match(chosen):
            raise ValueError(f"subprotocol {subprotocol!r} is no token (RFC 6455, 4.2.2)")
        lines.append(b"Sec-WebSocket-Protocol: " + chosen + b"\r\n")
    lines += (_default_lines(tuple(defaults)), _accept_lines(headers), b"\r\n")
    return b"".join(lines)


@functools.lru_cache(maxsize=4)
def _default_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    # The date among them changes once a second.
    return _accept_lines(headers)


def _accept_lines(headers: Headers) -> bytes:
    lines = []
    for name, value in headers:
        lines.append(header_line(name, value))
        if bytes(name).lower() in OURS:
            raise ValueError(f"header {name!r} of an accept is the server's to set")
    return b"".join(lines)


def response_head(status: int, *headers: Headers, length: int | None) -> bytes:
    """Return the head of an HTTP response after which the connection ends.

    Args:
        status: 200 to 599.
        *headers: Of the server and of the application.
        length: Bytes of the body, or ``None`` where the end of the connection ends it.

    Raises:
        ValueError: The status or a header is none.
    """
    if type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"status {status!r} of a denial; expected a number from 200 to 599")
    lines = [f"HTTP/1.1 {status} {_phrase(status)}\r\n".encode("ascii")]
    names = set()
    for group in headers:
        for name, value in group:
            line = header_line(name, value)
            # How the body and the connection end is decided here.
            if bytes(name).lower() not in (b"transfer-encoding", b"connection"):
                lines.append(line)
                names.add(bytes(name).lower())
    lines.append(b"connection: close\r\n")
    if length is not None and b"content-length" not in names:
        lines.append(b"content-length: %d\r\n" % length)
    return b"".join([*lines, b"\r\n"])


def refuse(status: int, reason: str) -> bytes:
    """Return a whole HTTP response of our own, in plain text."""
    body = f"{reason}\n".encode() if reason else b""
    head = response_head(
        status, [(b"content-type", b"text/plain; charset=utf-8")], length=len(body)
    )
    return head + body


def header_line(name: Any, value: Any) -> bytes:
    """Return one line of a response.

    Raises:
        ValueError: Name or value are not bytes that a header can hold.
    """
    if not isinstance(name, BYTES) or not TOKEN.match(name):
        raise ValueError(f"header name {name!r}; expected bytes that are a token (RFC 9110, 5.1)")
    if not isinstance(value, BYTES) or not VALUE.match(value):
        raise ValueError(
            f"value {value!r} of header {bytes(name)!r}; expected bytes without control characters"
        )
    return b"%b: %b\r\n" % (bytes(name), bytes(value))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


_NAMES: Final[dict[bytes, bytes]] = {
    name: name
    for name in (
        b"accept", b"accept-encoding", b"accept-language", b"authorization", b"cache-control",
        b"connection", b"cookie", b"host", b"origin", b"pragma", b"sec-websocket-extensions",
        b"sec-websocket-key", b"sec-websocket-protocol", b"sec-websocket-version", b"upgrade",
        b"user-agent", b"x-forwarded-for", b"x-forwarded-proto",
    )
}  # fmt: skip


def _shared(name: bytes) -> bytes:
    """Return the one object for a common header name, which a scope keeps for long."""
    return _NAMES.get(name, name)

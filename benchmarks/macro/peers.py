"""Many WebSocket clients in one thread, which do as little as they can."""

from __future__ import annotations

import select
import socket
import time
from typing import Final

REQUEST: Final = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
)
PING: Final = 0x89
PATIENCE: Final = 10.0
"""Seconds after which a server that sends nothing is given up."""


class Peers:
    """Clients of one server.

    Args:
        port: The server's, on this machine.
        path: That of every client.
    """

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._speaks_engine_io = "EIO=" in path
        self._request = REQUEST.format(path=path).encode()
        self._sockets: list[socket.socket] = []
        self._by_fd: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self._buffer = bytearray(1 << 16)
        # Messages that did not come.
        self.missing = 0

    def open(self, number: int, port: int | None = None, path: str | None = None) -> None:
        """Open so many more, one after the other; at another server's port or path if given."""
        request = self._request if path is None else REQUEST.format(path=path).encode()
        for _ in range(number):
            peer = socket.create_connection(("127.0.0.1", port or self._port), PATIENCE)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += peer.recv(4096) or b"\r\n\r\n"
            if b" 101 " not in answer:
                raise RuntimeError(f"the server refuses: {answer[:200]!r}")
            if self._speaks_engine_io:
                _greet(peer, answer.partition(b"\r\n\r\n")[2])
            self._sockets.append(peer)
            self._by_fd[peer.fileno()] = peer
            self._poll.register(peer.fileno(), select.EPOLLIN)

    def fan_out(self, payload: bytes, rounds: int, ahead: int) -> float:
        """Let the first client send so many messages, each to all; return deliveries a second.

        Args:
            payload: Of each message.
            rounds: How many.
            ahead: How many may be on their way at the same time.
        """
        size = self._measure(payload)
        frame = _frame(payload)
        whole = size * len(self._sockets)
        sent = received = 0
        start = end = time.perf_counter()
        while received < rounds * whole:
            while sent < rounds and sent * whole - received < ahead * whole:
                self._sockets[0].send(frame)
                sent += 1
            more = self._read()
            if not more:
                self.missing += (rounds * whole - received) // size
                break
            received, end = received + more, time.perf_counter()
        return received / size / (end - start)

    def converse(self, payload: bytes, rounds: int, size: int) -> float:
        """Let rooms of ``size`` clients talk at the same time; return deliveries a second.

        The first client of each sends again as soon as all of its room have the message before.

        Args:
            payload: Of each message.
            rounds: How many messages each room has.
            size: Clients of a room; each room's were opened one after the other.
        """
        whole, frame = self._measure(payload, everyone=False) * size, _frame(payload)
        room_of = {peer.fileno(): n // size for n, peer in enumerate(self._sockets)}
        senders = self._sockets[::size]
        received, heard = [0] * len(senders), [0] * len(senders)
        start = silent_since = time.perf_counter()
        for sender in senders:
            sender.send(frame)
        # What a server sends besides, such as a ping, is too short to matter.
        while sum(heard) < rounds * len(senders):
            for fd, _ in self._poll.poll(PATIENCE):
                room = room_of[fd]
                some = self._by_fd[fd].recv_into(self._buffer)
                if not some:
                    raise RuntimeError("the server has closed")
                received[room] += some
                if heard[room] < rounds and received[room] >= (heard[room] + 1) * whole:
                    heard[room] += 1
                    silent_since = time.perf_counter()
                    if heard[room] < rounds:
                        senders[room].send(frame)
            if time.perf_counter() > silent_since + PATIENCE:
                self.missing += (rounds * len(senders) - sum(heard)) * size
                break
        return sum(heard) * size / (silent_since - start)

    def echo(self, payload: bytes, seconds: float) -> float:
        """Let each client send again as soon as it has its answer; return answers a second."""
        frame = _frame(payload)
        size = len(frame) - 4
        pending = dict.fromkeys(self._by_fd, size)
        for peer in self._sockets:
            peer.send(frame)
        answers = 0
        start = time.perf_counter()
        while time.perf_counter() < start + seconds:
            for fd, _ in self._poll.poll(PATIENCE):
                pending[fd] -= self._by_fd[fd].recv_into(self._buffer)
                if not pending[fd]:
                    pending[fd] = size
                    self._by_fd[fd].send(frame)
                    answers += 1
        rate = answers / (time.perf_counter() - start)
        self._read_what_comes()
        return rate

    def tell(self, text: bytes) -> None:
        """Let the last client send something."""
        self._sockets[-1].send(_frame(text))

    def hear(self) -> bytes:
        """Return the payload of the last client's next frame."""
        head = _read_exactly(self._sockets[-1], 2)
        while head[0] == PING:
            head = _read_exactly(self._sockets[-1], 2)
        size = head[1]
        if size == 126:
            size = int.from_bytes(_read_exactly(self._sockets[-1], 2), "big")
        return _read_exactly(self._sockets[-1], size)

    def ignore(self, number: int) -> None:
        """Read no more from the last so many clients."""
        for peer in self._sockets[-number:] if number else ():
            self._poll.unregister(peer.fileno())

    def delays(self, payload: bytes, rate: float, seconds: float) -> list[float]:
        """Let the first client send at ``rate``; return how late each message came to each reader.

        Seconds from when the message was due to be sent, so that a stall is not left out.
        """
        size, frame = self._measure(payload, everyone=False), _frame(payload)
        received = dict.fromkeys(self._by_fd, 0)
        late: list[float] = []
        start = time.perf_counter()
        sent, last = 0, int(rate * seconds)
        while (now := time.perf_counter()) < start + seconds + 1:
            while sent < last and start + sent / rate <= now:
                self._sockets[0].send(frame)
                sent += 1
            for fd, _ in self._poll.poll(min(1 / rate, 0.01)):
                before = received[fd]
                received[fd] += self._by_fd[fd].recv_into(self._buffer)
                now = time.perf_counter()
                done = range(before // size, received[fd] // size)
                late += [now - start - number / rate for number in done]
        return late

    def answer_pings(self, seconds: float) -> int:
        """Answer pings for so long; return how many connections have ended meanwhile."""
        until = time.monotonic() + seconds
        ended: set[int] = set()
        while (rest := until - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(rest):
                data = self._by_fd[fd].recv(65536)
                if not data or data[:1] == b"\x88":
                    ended.add(fd)
                    self._poll.unregister(fd)
                elif data[:1] == b"\x89":
                    self._by_fd[fd].send(b"\x8a\x80\0\0\0\0")
        return len(ended)

    def close(self) -> None:
        """Close all, without a handshake."""
        for peer in self._sockets:
            peer.close()
        self._poll.close()

    def _measure(self, payload: bytes, *, everyone: bool = True) -> int:
        """Send one message and return how many bytes each client gets of it."""
        # Such as a ping, which may have come since the last turn.
        while self._poll.poll(0):
            self._read()
        sender = self._sockets[0]
        sender.send(_frame(payload))
        head = _read_exactly(sender, 4)
        size = head[1] + 2 if head[1] < 126 else int.from_bytes(head[2:], "big") + 4
        _read_exactly(sender, size - 4)
        received = size
        while everyone and received < size * len(self._sockets):
            more = self._read()
            if not more:
                raise RuntimeError("the server sends nothing")
            received += more
        if not everyone:
            self._read_what_comes()
        return size

    def _read_what_comes(self) -> None:
        while ready := self._poll.poll(0.5):
            for fd, _ in ready:
                self._by_fd[fd].recv_into(self._buffer)

    def _read(self) -> int:
        received = 0
        for fd, _ in self._poll.poll(PATIENCE):
            received += self._by_fd[fd].recv_into(self._buffer)
        return received


def _greet(peer: socket.socket, begun: bytes) -> None:
    """Open a session of Socket.IO: take the server's greeting, and connect."""
    head = begun or peer.recv(4096)
    if head[2:3] != b"0":
        raise RuntimeError(f"no Engine.IO here: {head!r}")
    peer.send(_frame(b"40"))
    if not peer.recv(4096)[2:].startswith(b"40"):
        raise RuntimeError("no Socket.IO here")


def _read_exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise RuntimeError("the server has closed")
        data += more
    return data


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload

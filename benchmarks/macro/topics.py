"""One publication to many subscribers: what a reliable topic costs beside a volatile one.

    python benchmarks/macro/topics.py [--members N] [--rounds N] [--repeats N]

The same clients are subscribed to one topic of each kind, on one server with the layer in memory
and on one with Redis. The four take turns, ``repeats`` times; printed are medians of the server's
CPU time for each publication, the publishing included, and the ratios. Not timed: start-up,
handshakes, the clients, Redis itself. The server has one core and the clients another.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import platform
import select
import socket
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import contestants
from contestants import Running, running
from workloads import allow_many_sockets, layer, redis_server

KINDS = ("volatile", "reliable")
AT_ONCE = 5
"""Publications that may be on their way at the same time."""
MARK = b'"type":"publication"'
REQUEST = (
    b"GET /ws/topics/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: channels.topics.v1\r\n\r\n"
)
PATIENCE = 20.0


class Subscribers:
    """Clients of both topics, which count what they get and do nothing else."""

    def __init__(self, port: int, members: int) -> None:
        self._poll = select.epoll()
        self._peers: dict[int, socket.socket] = {}
        self._ends: dict[int, bytes] = {}
        for _ in range(members):
            peer = self._join(port)
            self._peers[peer.fileno()] = peer
            self._ends[peer.fileno()] = b""
            self._poll.register(peer.fileno(), select.EPOLLIN)

    def wait_for(self, publications: int) -> None:
        """Read until so many have come, over all clients."""
        while publications > 0:
            ready = self._poll.poll(PATIENCE)
            if not ready:
                raise SystemExit(f"{publications} publications did not come")
            for fd, _ in ready:
                more = self._peers[fd].recv(65536)
                if not more:
                    raise SystemExit("the server has closed a connection")
                data = self._ends[fd] + more
                publications -= data.count(MARK)
                # A mark may be cut in two.
                self._ends[fd] = data[1 - len(MARK) :]

    def _join(self, port: int) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", port), PATIENCE)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(REQUEST)
        _read_until(peer, b"\r\n\r\n")
        frames = [{"type": "hello"}, *({"type": "subscribe", "topic": f"{k}.1"} for k in KINDS)]
        for number, frame in zip(count(), frames, strict=False):
            text = json.dumps(frame | {"id": number}).encode()
            peer.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        _read_until(peer, b'"subscribed"', times=len(KINDS))
        return peer


def cost(
    server: Running, subscribers: Subscribers, kind: str, *, options: argparse.Namespace
) -> float:
    """Return microseconds of the server's CPU for each publication."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    before = server.cpu_seconds()
    for _ in range(options.rounds // AT_ONCE):
        connection.request("POST", f"/{kind}.1/{AT_ONCE}")
        connection.getresponse().read()
        subscribers.wait_for(AT_ONCE * options.members)
    spent = server.cpu_seconds() - before
    connection.close()
    rounds: int = options.rounds // AT_ONCE * AT_ONCE
    return spent / rounds * 1e6


def _read_until(peer: socket.socket, mark: bytes, times: int = 1) -> None:
    data = b""
    while data.count(mark) < times:
        more = peer.recv(65536)
        if not more:
            raise SystemExit(f"the server refuses: {data[:200]!r}")
        data += more


def servers(stack: ExitStack, members: int) -> Iterator[tuple[str, Running, Subscribers]]:
    """Start a server on each layer, with its clients."""
    seaway = contestants.seaway(
        sys.executable, platform.python_version(), "uvloop", path="", app="topic_rooms:application"
    )
    # These clients answer no pings.
    quiet = (*seaway.command, "--ws-ping-interval", "0")
    seaway = dataclasses.replace(seaway, command=quiet)
    port = stack.enter_context(redis_server())
    for name, setting in (("memory", None), ("Redis", layer("core", port))):
        server = stack.enter_context(running(dataclasses.replace(seaway, layer=setting)))
        yield name, server, Subscribers(server.port, members)


def main() -> None:
    """Take turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    allow_many_sockets()
    contestants.pin_myself()
    seen: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        started = list(servers(stack, options.members))
        for repeat in range(options.repeats + 1):
            for where, server, subscribers in started:
                # Neither is always the first.
                for kind in KINDS if repeat % 2 else reversed(KINDS):
                    spent = cost(server, subscribers, kind, options=options)
                    # The first round warms up.
                    if repeat:
                        seen.setdefault((where, kind), []).append(spent)
    print(f"CPU us for a publication to {options.members}, Python {platform.python_version()}")
    print(f"{'layer':8} {'volatile':>10} {'reliable':>10} {'ratio':>6}")
    for where, _, _ in started:
        volatile, reliable = (statistics.median(seen[where, kind]) for kind in KINDS)
        print(f"{where:8} {volatile:10,.0f} {reliable:10,.0f} {reliable / volatile:6.2f}")


if __name__ == "__main__":
    main()

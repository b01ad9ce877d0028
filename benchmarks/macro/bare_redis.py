"""The least that a chat over Redis can be: no consumers, no groups, no errors, nothing bounded.

It does not even wait for Redis' answer. What workload 6 costs beyond this is what a server adds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import hiredis
import uvloop
from websockets.speedups import apply_mask

from channels_redis._wire import pack

members: list[int] = []


class Redis(asyncio.Protocol):
    """Hands what is published to every member."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader()

    def data_received(self, data: bytes) -> None:
        """Make a frame for each member, as the consumer's handler does."""
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            if isinstance(reply, list) and reply[0] == b"message":
                message = json.loads(reply[2])
                for member in members:
                    payload = json.dumps({"message": message["message"]}).encode()
                    os.write(member, bytes((0x81, len(payload))) + payload)


class Socket(asyncio.Protocol):
    """Publishes each frame; of at most 125 bytes, as those of the benchmark are."""

    def __init__(self, redis: asyncio.Transport) -> None:
        self.redis = redis
        self.is_open = False

    def connection_made(self, transport: Any) -> None:
        """Take the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the request as if it were a handshake, and publish what follows."""
        if not self.is_open:
            self.is_open = True
            members.append(self.transport.get_extra_info("socket").fileno())
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            return
        while data:
            end = 6 + (data[1] & 127)
            message = json.loads(apply_mask(data[6:end], data[2:6]))
            self.redis.write(pack("PUBLISH", "room", json.dumps(message)))
            data = data[end:]


async def serve(port: int) -> None:
    """Serve on ``port``, over the Redis server that ``BENCHMARK_LAYER`` names."""
    config = json.loads(os.environ["BENCHMARK_LAYER"])["CONFIG"]
    host, redis_port = config["hosts"][0].removeprefix("redis://").split(":")
    loop = asyncio.get_running_loop()
    calls, _ = await loop.create_connection(Redis, host, int(redis_port))
    hearing, _ = await loop.create_connection(Redis, host, int(redis_port))
    hearing.write(pack("SUBSCRIBE", "room"))
    server = await loop.create_server(lambda: Socket(calls), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

"""One worker: uvicorn with our protocols, which ends when its supervisor says so."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Final

import uvicorn

from channels.routing import get_default_application
from channels.server import HttpProtocol, WebSocketProtocol
from channels.serving import logs
from channels.serving.drain import Drain
from channels.serving.health import Health
from channels.serving.options import Options

READY: Final = b"ready\n"
ALIVE: Final = b"alive\n"
BEAT: Final = 1.0
"""Seconds between two signs of life."""
LAST: Final = 1.0
"""Seconds in which the process ends by itself; then it ends without its threads."""


class Worker(uvicorn.Server):
    """Serves the project's application until SIGTERM, or until the supervisor has gone.

    Args:
        options: Those of the command.
        control: A socket to the supervisor.
    """

    def __init__(self, options: Options, control: socket.socket) -> None:
        self._options = options
        self._control = control
        self._health = Health(get_default_application(), options.health_path, options.ready_path)
        logs.leave_out(self._health.paths)
        super().__init__(_config(self._health, options))
        self._drain = Drain(
            self.server_state, window=options.drain_window, timeout=options.drain_timeout
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM; Ctrl-C is the supervisor's, who passes it on."""
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        # Written when the supervisor has lost patience: where every thread is.
        faulthandler.enable()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, and tell the supervisor."""
        await super().startup(sockets)
        self._health.is_ready = True
        self._reporting = asyncio.create_task(self._report())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, as docs/adr/0011 says."""
        self._health.is_ready = False
        await self._drain.pause(self._options.readiness_delay)
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        await self._drain.run()
        if not self.force_exit:
            await self.lifespan.shutdown()
        self._reporting.cancel()
        _end_without_threads()

    def _end(self) -> None:
        if self.should_exit:
            self.force_exit = True
            self._drain.hurry()
        self.should_exit = True

    async def _report(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._control)
        writer.write(READY)
        try:
            while True:
                # It says nothing: what ends the wait is its end.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT):
                        await reader.read(1)
                        break
                writer.write(ALIVE)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
        if not self.should_exit:
            logging.getLogger("channels.server").error("The supervisor has gone; ending too.")
            self._end()


def run(options: Options, control: socket.socket, listeners: list[socket.socket]) -> None:
    """Serve until told to end.

    Raises:
        ImproperlyConfigured: ``ASGI_APPLICATION`` names nothing.
    """
    Worker(options, control).run(sockets=listeners)


def _config(application: Health, options: Options) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=HttpProtocol,
        ws=WebSocketProtocol,
        loop=options.loop,
        backlog=options.backlog,
        log_config=None,
        access_log=options.access_log,
        proxy_headers=options.proxy_headers,
        forwarded_allow_ips=options.trusted,
        server_header=False,
        timeout_keep_alive=options.keep_alive,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )


def _end_without_threads() -> None:
    """See to it that the process ends although a thread may not."""
    end = threading.Timer(LAST, os._exit, [0])
    end.daemon = True
    end.start()

"""One worker, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import signal
import socket
import sys
from typing import Final

from channels.serving.options import Options

SPARE: Final = 5.0
"""Seconds that a worker may take longer to end than it was given."""
DUMP: Final = 0.5
"""Seconds that it has to write its stacks, before it is killed."""
HASTE: Final = 2.0
"""Seconds until a worker that was told twice is killed."""

logger: logging.Logger = logging.getLogger("channels.server")


class WorkerProcess:
    """A worker that was started; make it with ``start``.

    Attributes:
        pid: Its process.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, control: socket.socket, options: Options
    ) -> None:
        self.pid: int = process.pid
        self._process = process
        self._options = options
        self._is_ending = False
        self._ready = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(control))

    @classmethod
    async def start(cls, options: Options, listener: socket.socket) -> WorkerProcess:
        """Start one; it is not ready yet.

        Raises:
            OSError: The system does not have what it needs, or it has ended already.
        """
        ours, its = socket.socketpair()
        try:
            with its:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *(f"-W{option}" for option in sys.warnoptions),
                    "-m",
                    "channels.serving",
                    str(its.fileno()),
                    pass_fds=[its.fileno(), listener.fileno()],
                )
            orders = {
                "path": sys.path,
                "options": dataclasses.asdict(options),
                "listeners": [listener.fileno()],
            }
            ours.sendall(json.dumps(orders).encode() + b"\n")
        except BaseException:
            # A worker that has begun ends with this.
            ours.close()
            raise
        ours.setblocking(False)
        return cls(process, ours, options)

    async def is_ready(self) -> bool:
        """Wait until it serves; ``False`` if it ends first or takes longer than it may."""
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait(
            {self._ready, ended},
            timeout=self._options.start_timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        ended.cancel()
        if not self._ready.done() and self._process.returncode is None:
            logger.error(
                "Worker %d does not serve after %g s.", self.pid, self._options.start_timeout
            )
        return self._ready.done()

    async def wait(self) -> int:
        """Wait until it has ended; return its exit status."""
        return await self._process.wait()

    async def stop(self) -> bool:
        """Have it drain, and wait; return whether it ended by itself."""
        self._is_ending = True
        self._signal(signal.SIGTERM)
        options = self._options
        return await self._end_within(
            options.readiness_delay + options.drain_timeout + SPARE, say="drained"
        )

    async def hurry(self) -> None:
        """Have it end at once."""
        self._is_ending = True
        self._signal(signal.SIGTERM)
        await self._end_within(HASTE, say="ended at once")

    async def kill(self) -> None:
        """End it by force, after it has written where its threads are."""
        self._is_ending = True
        # The default of SIGABRT ends it too; faulthandler writes first.
        self._signal(signal.SIGABRT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DUMP):
                await self._process.wait()
        self._signal(signal.SIGKILL)
        await self._process.wait()

    async def _end_within(self, seconds: float, *, say: str) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            logger.error("Worker %d has not %s in %g s; killed.", self.pid, say, seconds)  # noqa: TRY400
            await self.kill()
            return False
        return True

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _watch(self, control: socket.socket) -> None:
        """Take its signs of life; kill it when they do not come."""
        reader, writer = await asyncio.open_connection(sock=control)
        try:
            line = await reader.readline()
            if line and not self._ready.done():
                self._ready.set_result(None)
            while line:
                async with asyncio.timeout(self._options.hang_timeout or None):
                    line = await reader.readline()
        except TimeoutError:
            if not self._is_ending:
                logger.error(  # noqa: TRY400
                    "Worker %d has not moved for %g s; killed.",
                    self.pid,
                    self._options.hang_timeout,
                )
                await self.kill()
        except OSError:
            # It has ended; whoever waits for that sees why.
            pass
        finally:
            writer.close()

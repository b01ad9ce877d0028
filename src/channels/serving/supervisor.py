"""The process that starts the workers, replaces them and ends them, and serves nothing itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from pathlib import Path
from typing import Any, Final

from channels.serving.options import Options
from channels.serving.process import WorkerProcess

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
"""Seconds until a worker that has died is replaced; doubled as long as they die young or cannot
be started."""
YOUNG: Final = 10.0
"""Seconds in which a worker has not yet shown that it works."""
LOOK: Final = 1.0
"""Seconds between two looks at the file of ``--touch-reload``."""

logger: logging.Logger = logging.getLogger("channels.server")


class Supervisor:
    """Keeps ``number`` workers at work.

    SIGTERM or SIGINT ends them with a drain, a second one at once; SIGHUP rolls them.

    Args:
        options: Those of the command.
        listener: What the workers accept from.
        number: How many workers.
    """

    def __init__(self, options: Options, listener: socket.socket, number: int) -> None:
        self._options = options
        self._listener = listener
        self._number = number
        self._alive: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._slots: list[WorkerProcess] = []
        self._is_stopping = False
        self._is_rolling = False
        self._was_clean = True
        self._ended = asyncio.Event()
        # One start at a time; none once what there is is being ended.
        self._starting = asyncio.Lock()

    async def run(self) -> int:
        """Work until told to end; return the exit status."""
        self._listen_to_signals()
        if await self._start_all():
            self._watch_all()
        elif not self._is_stopping:
            await self._stop_all()
            return 1
        await self._ended.wait()
        return 0 if self._was_clean else 1

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told_to_end)
        loop.add_signal_handler(signal.SIGINT, self._told_to_end)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_roll)

    def _told_to_end(self) -> None:
        if self._is_stopping:
            logger.info("Ending at once.")
            for worker in tuple(self._alive):
                self._do(worker.hurry())
            return
        self._is_stopping = True
        logger.info("Ending: workers drain for up to %g s.", self._options.drain_timeout)
        self._do(self._stop_all())

    def _told_to_roll(self) -> None:
        if not self._is_stopping and not self._is_rolling and len(self._slots) == self._number:
            self._do(self._roll())
        else:
            logger.warning("Already starting, rolling or ending: not rolled again.")

    def _watch_all(self) -> None:
        logger.info("%d worker(s) ready.", self._number)
        for slot in range(self._number):
            self._do(self._keep(slot))
        if self._options.touch_reload is not None:
            self._do(self._look_at(Path(self._options.touch_reload)))

    async def _start_all(self) -> bool:
        for _ in range(self._number):
            worker = await self._start()
            if worker is None:
                return False
            self._slots.append(worker)
        ready = await asyncio.gather(*(worker.is_ready() for worker in self._slots))
        return all(ready)

    async def _start(self) -> WorkerProcess | None:
        """Start a worker; ``None`` if the system has none to give, or it is time to end."""
        async with self._starting:
            if self._is_stopping:
                return None
            try:
                worker = await WorkerProcess.start(self._options, self._listener)
            except OSError as error:
                logger.error("A worker cannot be started: %s.", error)  # noqa: TRY400
                return None
            self._alive.add(worker)
            self._do(self._note_end(worker))
            return worker

    async def _note_end(self, worker: WorkerProcess) -> None:
        await worker.wait()
        self._alive.discard(worker)

    async def _stop_all(self) -> None:
        self._is_stopping = True
        async with self._starting:
            # Clients that come now are refused, instead of waiting for nobody.
            self._listener.close()
        ends = await asyncio.gather(*(worker.stop() for worker in tuple(self._alive)))
        self._was_clean = all(ends)
        self._ended.set()

    async def _keep(self, slot: int) -> None:
        """Replace the worker of ``slot`` whenever it dies."""
        delays = _Delays()
        while True:
            worker = self._slots[slot]
            status = await worker.wait()
            if self._is_stopping:
                return
            if self._slots[slot] is not worker:
                # It was rolled: its successor is watched from here on.
                delays = _Delays()
                continue
            delay = delays.next()
            logger.error(
                "Worker %d has died with status %d; another starts in %g s.",
                worker.pid,
                status,
                delay,
            )
            await asyncio.sleep(delay)
            while self._slots[slot] is worker and not self._is_stopping:
                if not await self._succeed(slot):
                    await asyncio.sleep(delays.next())

    async def _succeed(self, slot: int) -> bool:
        """Put a new worker in the place of one that has died; ``False`` if there is none."""
        new = await self._start()
        if new is None:
            return False
        self._slots[slot] = new
        if not await new.is_ready():
            await new.kill()
        return True

    async def _roll(self) -> None:
        """Replace each worker by a new one, one after the other."""
        self._is_rolling = True
        try:
            for slot in range(self._number):
                if not await self._replace(slot):
                    logger.error("A new worker does not start: the old ones go on.")
                    return
            logger.info("All workers are new.")
        finally:
            self._is_rolling = False

    async def _replace(self, slot: int) -> bool:
        """Drain a worker once a new one is ready; ``False`` if that does not start."""
        new = await self._start()
        if new is None:
            return self._is_stopping
        if not await new.is_ready():
            await new.kill()
            return self._is_stopping
        old, self._slots[slot] = self._slots[slot], new
        logger.info("Worker %d takes over from %d.", new.pid, old.pid)
        await old.stop()
        return True

    async def _look_at(self, path: Path) -> None:
        seen = _changed_at(path)
        while not self._is_stopping:
            await asyncio.sleep(LOOK)
            now = _changed_at(path)
            # While it is being replaced it may be away.
            if now is not None and now != seen:
                seen = now
                self._told_to_roll()

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Delays:
    """How long to wait before each replacement of one worker; longer while they die young."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY
        self._started = _now()

    def next(self) -> float:
        """Return the seconds until the next one is to be started."""
        if _now() - self._started > YOUNG:
            self._next = FIRST_DELAY
        delay, self._next = self._next, min(2 * self._next, LONGEST_DELAY)
        self._started = _now() + delay
        return delay


def _now() -> float:
    return asyncio.get_running_loop().time()


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None

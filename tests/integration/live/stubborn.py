"""A server process that does not stop when it is told to."""

from __future__ import annotations

import multiprocessing
import signal
import threading

SPAWN = multiprocessing.get_context("spawn")


class Stubborn(SPAWN.Process):
    """Says that it is ready, and takes no notice of anything after that."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = SPAWN.Event()

    def run(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.ready.set()
        threading.Event().wait(60)

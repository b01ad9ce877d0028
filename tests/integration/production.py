"""Starts ``manage.py serve`` for the tests of this folder, asks it things, and ends it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.integration.serving import ROOT
from tests.slow import SLOW

PATIENCE: Final = 30 * SLOW
SETTINGS: Final = "tests.integration.apps.rolling_settings"


class Production:
    """A supervisor and its workers.

    Args:
        log: The file that they write to.
        *options: Of the command.
        **environment: Added to that of the process.
    """

    def __init__(self, log: Path, *options: str, **environment: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "serve", "--settings", SETTINGS, *options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
                start_new_session=True,
            )

    @property
    def address(self) -> str:
        """Host and port, from its log."""
        found = re.search(r"Seaway at https?://(\S+?),", self.log())
        assert found is not None, self.log()
        return found[1]

    def workers(self) -> set[int]:
        """Return the processes it has now."""
        pid = self.process.pid
        with suppress(FileNotFoundError):
            return {int(each) for each in _children(pid).split()}
        return set()

    def log(self) -> str:
        """Return what was written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str, count: int = 1) -> None:
        """Return once ``text`` was written so often."""
        wait_until(lambda: self.log().count(text) >= count, f"{text!r} in the log", self)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, float]:
        """Send SIGTERM and wait; return the exit status, and how many seconds that took."""
        start = time.monotonic()
        self.signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        return status, time.monotonic() - start

    def kill(self) -> None:
        """End what is left, with everything it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def production(log: Path, *options: str, **environment: str) -> Iterator[Production]:
    """Run ``manage.py serve`` at a free port until the block ends."""
    address = () if "--unix-socket" in options else ("--port", "0")
    server = Production(log, *address, *options, **environment)
    try:
        server.wait_for_log("worker(s) ready.")
        yield server
    finally:
        server.kill()


def wait_until(is_so: Callable[[], Any], what: str, server: Production) -> None:
    """Return once it is so.

    Raises:
        AssertionError: It takes too long; the message has the log.
    """
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"no {what}:\n{server.log()}"
        time.sleep(0.02)


def json_of(answer: tuple[int, bytes]) -> Any:
    """Return the body of an answer of status 200."""
    status, body = answer
    assert status == 200, answer
    return json.loads(body)


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")

"""A worker's process: ``python -m channels.serving FD``, started by the supervisor."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import django


def main() -> None:
    """Read what to do from the supervisor, and do it."""
    control = socket.socket(fileno=int(sys.argv[1]))
    orders = _read_line(control)
    # As in the supervisor: what a manage.py has put there is there too.
    sys.path[:] = orders["path"]
    django.setup()
    # Django has to be set up first.
    from channels.serving import logs, worker
    from channels.serving.options import Options

    options = Options(**orders["options"])
    logs.configure(options)
    worker.run(options, control, [socket.socket(fileno=fd) for fd in orders["listeners"]])


def _read_line(control: socket.socket) -> Any:
    # Unbuffered, so that nothing behind the line is taken.
    with control.makefile("rb", buffering=0) as file:
        return json.loads(file.readline())


if __name__ == "__main__":
    main()

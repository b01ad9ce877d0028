"""Run the demo: ``python run.py`` prepares everything and serves it on 127.0.0.1.

Environment: ``PORT`` (8000, or the next free one if it is not set), ``DEMO_DATABASE`` (a file).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys

import django
import uvicorn
from django.core.management import call_command

HOST = "127.0.0.1"
FIRST_PORT = 8000


def listen(port: int) -> socket.socket:
    """Return a socket that listens on ``port``.

    Raises:
        OSError: Another program has the port.
    """
    listener = socket.socket()
    # A server that was just killed leaves its port half open; do not wait for it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def listen_somewhere() -> socket.socket:
    """Listen on ``PORT``, or else on the first free port from 8000 on."""
    if wanted := os.environ.get("PORT"):
        try:
            return listen(int(wanted))
        except OSError as error:
            sys.exit(f"Port {wanted} cannot be used: {error.strerror}. Set PORT to a free one.")
    for port in range(FIRST_PORT, FIRST_PORT + 20):
        try:
            return listen(port)
        except OSError:
            print(f"Port {port} is in use, trying the next.")
    sys.exit("No free port found. Set PORT to one.")


def prepare() -> None:
    """Create the database, the accounts and the rooms that are not there yet."""
    from chat.models import Room  # models can be imported once Django is set up
    from demo.accounts import create_accounts

    call_command("migrate", verbosity=0)
    create_accounts()
    if not Room.objects.exists():
        Room.objects.bulk_create(Room(slug=slug) for slug in ("harbour", "lighthouse", "galley"))


def announce(port: int) -> None:
    """Print where the demo is and who may sign in."""
    from demo.accounts import ACCOUNTS

    print(f"\n  The demo runs at http://{HOST}:{port}/\n")
    for name, password, is_staff in ACCOUNTS:
        print(f"    {name:<6} password {password:<8} {'(also /admin/)' if is_staff else ''}")
    print("\n  Sign in as ann here and as bob in a private window. Stop with Ctrl-C.\n", flush=True)


def main() -> None:
    """Prepare, announce and serve."""
    listener = listen_somewhere()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
    django.setup()
    prepare()

    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    from channels.server import WebSocketProtocol
    from demo.asgi import application

    config = uvicorn.Config(
        ASGIStaticFilesHandler(application),  # type: ignore[arg-type]  # any ASGI application does
        log_level="warning",
        ws=WebSocketProtocol,
        timeout_graceful_shutdown=2,
    )
    announce(listener.getsockname()[1])
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, after a clean shutdown
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""``manage.py relay_outbox``."""

from __future__ import annotations

import queue
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from channels.outbox.relaying import relay, relay_until


class Command(BaseCommand):
    """Sends what waits in the outbox, until SIGTERM or Ctrl-C."""

    help = "Sends the publications that wait in the outbox to the broker."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the database and how often to look."""
        parser.add_argument("--once", action="store_true", help="Send what waits now, and exit.")
        parser.add_argument(
            "--interval",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="Between two looks. Default: 1; more while the broker is out.",
        )
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="Its alias. Default: default."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Relay; with ``--once`` the exit status is 1 if something has to wait on."""
        using = options["database"]
        if not options["interval"] > 0:
            raise CommandError(f"--interval {options['interval']:g}: expected above 0")
        if options["once"]:
            sent, error = relay(using=using)
            self.stdout.write(f"{sent} sent")
            if error is not None:
                raise CommandError(f"some have to wait: {error}")
            return
        # A queue of this kind may be used in a signal handler, whatever that has interrupted.
        ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, lambda *_: ended.put(None)) for number in numbers]
        try:
            relay_until(ended, using=using, interval=options["interval"])
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

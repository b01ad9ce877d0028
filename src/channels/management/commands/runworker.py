"""``manage.py runworker``."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import ChannelsError
from channels.layers import InMemoryChannelLayer
from channels.routing import get_default_application
from channels.worker import Worker, require_layer

logger: logging.Logger = logging.getLogger("django.channels.worker")


class Command(BaseCommand):
    """Runs the consumers of named channels until Ctrl-C or SIGTERM."""

    help = "Runs the consumers of the given channels in this process."
    leave_locale_alone = True
    worker_class = Worker

    verbosity: int
    channel_layer: Any

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the layer's alias and the channels."""
        parser.add_argument(
            "--layer",
            default=DEFAULT_CHANNEL_LAYER,
            help="Alias in CHANNEL_LAYERS of the layer to listen on.",
        )
        parser.add_argument("channels", nargs="+", help="Name of a channel to listen on.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen until the process is told to end."""
        self.verbosity = options.get("verbosity", 1)
        channels: list[str] = options["channels"]
        try:
            self.channel_layer = require_layer(options["layer"], channels)
            application = get_default_application()
        except (ChannelsError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        if isinstance(self.channel_layer, InMemoryChannelLayer):
            self.stderr.write("No other process can reach this worker: its layer is in memory.")
        logger.info("Running worker for channels %s", channels)
        self.worker_class(
            application=application, channels=channels, channel_layer=self.channel_layer
        ).run()

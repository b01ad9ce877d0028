"""``manage.py runserver``: ours where ``channels`` stands before ``django.contrib.staticfiles``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from channels.conf import asgi_application
from channels.devserver import command
from channels.devserver.log import write_action


class Command(command.RunserverCommand):
    """Serves ``ASGI_APPLICATION``; without that setting it is Django's own command."""

    help = "Starts a lightweight server for development: HTTP, WebSockets and static files."
    server_cls: type[Any] = command.DevelopmentServer
    serves_asgi: bool = False
    site: Any = None

    def add_arguments(self, parser: CommandParser) -> None:
        """Add our options to Django's."""
        super().add_arguments(parser)
        command.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Choose between ASGI and WSGI, then do as Django does."""
        self.serves_asgi = options["use_asgi"] and asgi_application() is not None
        if self.serves_asgi:
            command.require_uvicorn()
        else:
            self.server_cls = command.RunserverCommand.server_cls
        super().handle(*args, **options)

    def run(self, **options: Any) -> None:
        """Run the server, with the autoreloader or without, and end without delay."""
        with command.ending_promptly(self):
            super().run(**options)

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return what the server serves."""
        if not self.serves_asgi:
            return super().get_handler(*args, **options)
        self.site = command.make_site(self, self.get_application(options), options)
        return self.site

    def get_application(self, options: dict[str, Any]) -> Any:
        """Return the ASGI application to serve."""
        return command.load_application(options)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write one line of the log."""
        write_action(protocol, action, details, style=self.style)

    def on_bind(self, server_port: int) -> None:
        """Say where the server listens."""
        if self.serves_asgi:
            self.stdout.write(command.start_message(self, server_port))
        else:
            super().on_bind(server_port)

"""The Django app, which brings ``runserver``, ``runworker`` and the system checks."""

from __future__ import annotations

from django.apps import AppConfig

from channels.checks import register_checks


class ChannelsConfig(AppConfig):
    """Has no models."""

    name = "channels"
    verbose_name: str = "Channels"

    def ready(self) -> None:
        """Register the system checks."""
        register_checks()

"""The Django app, which brings ``runserver``, ``runworker`` and the system checks."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.module_loading import autodiscover_modules

from channels.checks import register_checks


class ChannelsConfig(AppConfig):
    """Has no models."""

    name = "channels"
    verbose_name: str = "Channels"

    def ready(self) -> None:
        """Register the system checks, and load the module ``topics`` of every app that has one."""
        register_checks()
        autodiscover_modules("topics")
        if apps.is_installed("django.contrib.auth"):
            # It needs the model of users, which is loaded by now.
            from channels.topics import signing_out

            signing_out.connect()

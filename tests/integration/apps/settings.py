"""Settings of the application that every server serves."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

CHANNELS = {"DISCONNECT_GRACE": 1}
ASGI_APPLICATION = "tests.integration.apps.chat.application"

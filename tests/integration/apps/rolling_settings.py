"""Settings of the project that ``manage.py serve`` rolls; its layer is in the environment."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

ASGI_APPLICATION = "tests.integration.apps.rolling.application"
ROOT_URLCONF = "tests.integration.apps.rolling"
CHANNELS = {"DISCONNECT_GRACE": 1}
if "ROLLING_LAYER" in os.environ:
    CHANNEL_LAYERS = {"default": json.loads(os.environ["ROLLING_LAYER"])}

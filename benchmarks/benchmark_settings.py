"""Django settings of the benchmarks: nothing on disk; the environment may have another layer."""

from __future__ import annotations

import json
import os
from typing import Any

SECRET_KEY = "a key for benchmarks alone"  # noqa: S105 - it protects nothing
ALLOWED_HOSTS = ["localhost"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "channels",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
]
LAYER: dict[str, Any] = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {}}
CHANNEL_LAYERS = {"default": json.loads(os.environ.get("BENCHMARK_LAYER", "null")) or LAYER}
# So that a handler which outlives its client can be waited for.
CHANNELS = {"DISCONNECT_GRACE": 1}

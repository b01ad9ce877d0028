"""The project whose topics are under load: settings, URLs and application in one."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from channels_redis.core import RedisChannelLayer

SECRET_KEY = "a key for tests alone"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["channels", "django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "tests.faults.topic_site.CountingLayer",
        "CONFIG": {"hosts": json.loads(os.environ.get("SITE_HOSTS", "[]"))},
    }
}
# Ten thousand clients, and whoever asks for the figures.
CHANNELS = {"DISCONNECT_GRACE": 1, "MAX_CONNECTIONS": 19_000}
ROOT_URLCONF = "tests.faults.topic_site"
ASGI_APPLICATION = "tests.faults.topic_application.application"

READS: Counter[str] = Counter()
"""How often this process has read the history of each topic."""
AT_ONCE: Counter[str] = Counter()
MOST_AT_ONCE: Counter[str] = Counter()
"""How many reads of a topic were in flight at the same time, now and at most."""


class CountingLayer(RedisChannelLayer):
    """Counts what its broker of topics reads."""

    def topic_broker(self, listener: Any) -> Any:
        broker = super().topic_broker(listener)
        read = broker.read

        async def counted(topic: str, after: int) -> Any:
            READS[topic] += 1
            AT_ONCE[topic] += 1
            MOST_AT_ONCE[topic] = max(MOST_AT_ONCE[topic], AT_ONCE[topic])
            try:
                return await read(topic, after)
            finally:
                AT_ONCE[topic] -= 1

        broker.read = counted  # type: ignore[method-assign]
        return broker


def reads(request: HttpRequest) -> HttpResponse:
    """Say how often this process has read histories."""
    return JsonResponse({"reads": READS, "most_at_once": MOST_AT_ONCE})


urlpatterns = [path("reads/", reads)]

"""Settings of a site with databases on disk, which another process can open."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403 - settings extend settings

ASGI_APPLICATION = "tests.integration.live.application.application"
ROOT_URLCONF = "tests.integration.live.application"
STATIC_URL = "/static/"
DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{os.environ['DATABASE']}.{alias}",
        "TEST": {"NAME": f"{os.environ['DATABASE']}.{alias}.test"},
    }
    for alias in ("default", "other")
}

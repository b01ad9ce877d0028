"""Django settings of the benchmarks: one process, nothing on disk."""

from __future__ import annotations

SECRET_KEY = "a key for benchmarks alone"  # noqa: S105 - it protects nothing
ALLOWED_HOSTS = ["localhost"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "channels",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
# So that a handler which outlives its client can be waited for.
CHANNELS = {"DISCONNECT_GRACE": 1}

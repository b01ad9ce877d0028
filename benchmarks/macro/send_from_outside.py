"""Sends to a group from sync code that no server runs; prints how many a second.

Started by ``run.py`` with ``BENCHMARK_LAYER`` in the environment, the seconds, and which way:
``async_to_sync``, or ``group_send_sync`` of Seaway.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmark_settings"
django.setup()

# Django has to be set up first.
from asgiref.sync import async_to_sync  # noqa: E402

from channels import layers  # noqa: E402


def main() -> None:
    """Send for so many seconds."""
    if sys.argv[2] == "async_to_sync":
        send = async_to_sync(layers.get_channel_layer().group_send)
    else:
        send = layers.group_send_sync
    message = {"type": "chat.message", "message": "x" * 80}
    send("room", message)
    sent, start = 0, time.perf_counter()
    while time.perf_counter() < start + float(sys.argv[1]):
        send("room", message)
        sent += 1
    print(sent / (time.perf_counter() - start))


main()

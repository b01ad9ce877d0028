"""Publishes to the topics of ``topic_site`` from a process of its own, until its input ends.

    python -m tests.faults.publisher <topics> <publications a second in each kind of topic>

It writes a line of JSON for each publication: topic, position or null, data; or topic and why
``publish`` raised.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from typing import Any

import django


def main() -> None:
    """Publish to each reliable and each volatile topic in turn."""
    topics, rate = int(sys.argv[1]), float(sys.argv[2])
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.faults.topic_site"
    django.setup()
    from tests.faults import topic_application  # noqa: F401 - its classes are known now

    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    due = time.monotonic()
    for number in itertools.count():
        for kind in ("kept", "loose"):
            publish_one(f"{kind}.{number % topics}", str(number))
        # What a fault held up is not made up for.
        due = max(due + 1 / rate, time.monotonic() - 1)
        if is_over.wait(max(due - time.monotonic(), 0)):
            return


def publish_one(topic: str, data: str) -> None:
    """Publish, and say what came of it."""
    from channels.exceptions import LayerUnavailableError
    from channels.publish import publish

    outcome: dict[str, Any] = {"topic": topic, "data": data}
    try:
        position = publish(topic, data)
    except LayerUnavailableError as error:
        outcome["failed"] = str(error)
    else:
        outcome["position"] = None if position is None else str(position)
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

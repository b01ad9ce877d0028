"""Django settings of the conformance run: limits above what the suite sends."""

from __future__ import annotations

SECRET_KEY = "a key for tests alone"
# Case 9 sends messages of up to 16 MiB.
CHANNELS = {"MAX_FRAME_BYTES": 2**26, "MAX_MESSAGE_BYTES": 2**26}

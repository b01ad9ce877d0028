"""How slow the machine may be."""

from __future__ import annotations

import os

SLOW = float(os.environ.get("CHANNELS_TEST_SLOW", "1"))
"""Factor on every time limit. A loaded or emulated machine sets it above 1."""

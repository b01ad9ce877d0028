"""How many times better one is than another, when both have taken turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def ratio(values: Sequence[float], rivals: Sequence[float]) -> float:
    """Return the median of the ratios in each turn.

    What ran within the same minute is compared: between minutes such machines change by half.
    """
    return statistics.median(one / other for one, other in zip(values, rivals, strict=True))


def rival_of(name: str, names: Iterable[str]) -> str | None:
    """Return the name of Django Channels on the same layer, if it is among them."""
    layers = [layer for layer in ("core", "pubsub") if name.endswith(layer)]
    for rival in names:
        if rival.startswith("Channels") and all(rival.endswith(layer) for layer in layers):
            return rival
    return None

"""Print what one side shows in each scenario, as JSON.

    python -m tests.compat.run --side upstream|ours [--only TEXT]
    python -m tests.compat.run --side both [--only TEXT]     only what differs

``--only`` takes any part of a scenario's id, such as ``routing.`` or ``close_messages``.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

from tests.compat.sides import Observations, Side, observe


def main() -> None:
    """Read the command line and print the observations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", choices=["upstream", "ours", "both"], required=True)
    parser.add_argument("--only", help="part of a scenario's id")
    options = parser.parse_args()
    both = options.side == "both"
    shown = compare(options.only) if both else observe(options.side, options.only)
    print(json.dumps(shown, indent=1, sort_keys=True, ensure_ascii=False))


def both_sides(only: str | None = None) -> dict[Side, Observations]:
    """Observe both sides at the same time."""
    with ThreadPoolExecutor(2) as pool:
        upstream = pool.submit(observe, "upstream", only)
        ours = pool.submit(observe, "ours", only)
        return {"upstream": upstream.result(), "ours": ours.result()}


def compare(only: str | None) -> dict[str, object]:
    """Return what both sides show where they differ, by scenario."""
    sides = both_sides(only)
    return {
        each: {"upstream": seen, "ours": sides["ours"][each]}
        for each, seen in sides["upstream"].items()
        if seen != sides["ours"][each]
    }


if __name__ == "__main__":
    main()

"""Seaway beside what a user would pick instead, in one run.

    python benchmarks/macro/run.py [WORKLOADS ...] [--repeats N] [--python 3.13] [--loop uvloop]
        [--json FILE]

WORKLOADS are numbers: 1 fan-out with a handler, 2 broadcast, 3 echo, 4 opening, 5 idle memory,
6 two processes over Redis, 7 sending from outside, 8 latency; by default all. Servers, and Redis,
have one core, and the clients another. The contestants of a workload take turns, ``repeats`` times;
printed are medians, and how many times better than Django Channels on the same Python and event
loop: the median of the ratios of each turn. Those of a room of 5 over Redis, where a run is over in
a fraction of a second, are all alive at once and take eleven turns of 0.4 s each time.

Timed: from a sender's frame to the last byte at the last client (1, 2, 6), answers (3), the
server's own CPU time (4: the clients would be the limit). Not timed: start-up, handshakes, a
warm-up. How fast the clients are shows the C program of workload 2, which does nothing but write.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import contestants
from turns import ratio, rival_of
from workloads import Field, Workload, allow_many_sockets


def measure(workload: Workload, repeats: int) -> dict[str, list[float]]:
    """Let the cases take turns."""
    seen: dict[str, list[float]] = {case.name: [] for case in workload.cases}
    for _ in range(repeats):
        with contextlib.ExitStack() as ready:
            runs = [(case.name, ready.enter_context(case.open())) for case in workload.cases]
            for _ in range(workload.turns):
                for name, run in runs:
                    seen[name].append(run())
    return seen


def report(workload: Workload, seen: dict[str, list[float]]) -> None:
    """Print medians, their spread, and the ratio to Channels."""
    print(f"\n{workload.title}")
    for name, values in seen.items():
        rival = rival_of(name, seen)
        times = ""
        if rival is not None and not name.startswith("Channels"):
            both = values, seen[rival]
            times = f"{ratio(*reversed(both) if workload.is_time else both):8.1f} x"
        spread = f"{min(values):,.1f} to {max(values):,.1f}"
        median = statistics.median(values)
        print(f"  {name:48} {median:12,.1f} {times:>10}   ({spread})", flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list("12345678"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", action="append", help="3.13 by default; may be repeated")
    parser.add_argument("--loop", action="append", help="uvloop by default; may be repeated")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    allow_many_sockets()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        fields = [
            (version, loop, Field(version, loop))
            for version in options.python or ["3.13"]
            for loop in options.loop or ["uvloop"]
        ]
        contestants.pin_myself()
        for version, loop, field in fields:
            for workload in field.workloads(options.workloads, Path(folder)):
                seen = measure(workload, options.repeats)
                report(workload, seen)
                results.append({"title": workload.title, "python": version, "loop": loop} | seen)
            if field.missing:
                print(f"\nmessages that did not come: {field.missing}")
    if options.json is not None:
        machine = {"machine": platform.processor(), "kernel": platform.release()}
        options.json.write_text(json.dumps(machine | {"results": results}, indent=1))


if __name__ == "__main__":
    main()

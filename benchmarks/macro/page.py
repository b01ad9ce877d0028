"""Writes docs/benchmarks from the results of ``run.py --json FILE``.

    .venvs/bench-upstream-3.13/bin/python benchmarks/macro/page.py FILE

That environment has matplotlib. The page's own words are in docs/benchmarks/index.md; this writes
what it includes: results.md, and the plot of the first workload.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from turns import ratio, rival_of

DOCS: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
ABOUT: Final = ("title", "python", "loop")


def tables(results: list[dict[str, Any]]) -> str:
    """Return a table for each workload."""
    parts = []
    for result in results:
        runs = {name: values for name, values in result.items() if name not in ABOUT}
        rows = ["| contestant | median | smallest to largest | of Channels |", "|---|---|---|---|"]
        for name, values in runs.items():
            rival = rival_of(name, runs)
            times = f"{ratio(values, runs[rival]):.2f}" if rival else ""
            spread = f"{min(values):,.1f} to {max(values):,.1f}"
            median = statistics.median(values)
            rows.append(f"| {_short(name)} | {median:,.1f} | {spread} | {times} |")
        where = f"CPython {result['python']}, {result['loop']}"
        parts.append(f"## {result['title']}\n\n{where}\n\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the first workload: deliveries a second by the size of the room."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        size = re.search(r"^1\. .* room of (\d+)", result["title"])
        if size and result["python"] == "3.13" and result["loop"] == "uvloop":
            for name, values in result.items():
                if name not in ABOUT and not name.startswith("socketio"):
                    point = int(size[1]), statistics.median(values)
                    lines.setdefault(_short(name), []).append(point)
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="members of the room", ylabel="deliveries a second")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend()
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def _short(name: str) -> str:
    path = re.sub(r"/socket\.io/\S+", "", name)
    return re.sub(r", 3\.\d+, (uvloop|asyncio)", "", path).replace(" ,", ",")


def main() -> None:
    """Write both files."""
    results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["results"]
    (DOCS / "results.md").write_text("# Results\n\n" + tables(results), encoding="utf-8")
    plot(results, DOCS / "fan-out.svg")


if __name__ == "__main__":
    main()

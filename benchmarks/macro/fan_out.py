"""One sender, one room: how many deliveries a second one core makes.

    python benchmarks/macro/fan_out.py [--members N] [--rounds N] [--repeats N] [--python 3.13]

Timed: from the sender's frame to the last byte at the last client, with up to three messages on
their way, for ``rounds`` messages. Beside it stands the server's CPU time for each delivery, which
a busy machine distorts less, and the ratios by it. Not timed: start-up and handshakes. The
contestants take turns, ``repeats`` times; medians are printed. The server has one core and the
clients another.

The limit is ``fan_out.c``, which writes one ready frame to each socket and does nothing else.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

import contestants
from contestants import Contestant, running
from peers import Peers

AHEAD = 3


class Figures(NamedTuple):
    """Of one run: deliveries a second, and microseconds of CPU for each."""

    rate: float
    cpu: float


def measure(contestant: Contestant, members: int, rounds: int) -> Figures:
    """Run one contestant once."""
    payload = json.dumps({"message": "x" * 80}).encode()
    with running(contestant) as server:
        peers = Peers(server.port, contestant.path)
        peers.open(members)
        # Upstream is a hundred times slower: as many messages would take minutes.
        rounds = max(5, rounds // 20) if contestant.path == "/chat/" else rounds
        peers.fan_out(payload, max(2, rounds // 10), AHEAD)
        before = server.cpu_seconds()
        rate = peers.fan_out(payload, rounds, AHEAD)
        cpu = (server.cpu_seconds() - before) / (rounds * members) * 1e6
        peers.close()
        return Figures(rate, cpu)


def line_up(folder: Path, members: int, versions: list[str]) -> list[Contestant]:
    """Return every contestant."""
    found = contestants.c_programs(folder, members, len(json.dumps({"message": "x" * 80})))
    if not found:
        print("There is no C compiler (cc): the limit is not measured.")
    for version in versions:
        ours, theirs = contestants.our_python(version), contestants.upstream_python(version)
        for loop in ("uvloop", "asyncio"):
            found += [
                contestants.seaway(ours, version, loop, path="/room/"),
                contestants.seaway(ours, version, loop, path="/chat/"),
                contestants.upstream(theirs, version, loop),
            ]
    return found


def report(seen: dict[Contestant, list[Figures]]) -> None:
    """Print medians, and ratios to the limit and to upstream on the same Python and loop."""
    medians = {
        contestant: Figures(*(statistics.median(column) for column in zip(*runs, strict=True)))
        for contestant, runs in seen.items()
    }
    limit = next((figures for one, figures in medians.items() if one.path == "/"), None)
    columns = f"{'deliveries/s':>12} {'of C':>6} {'x Channels':>10}"
    print(f"{'contestant':34} {columns} {'CPU us':>8} {'of C':>6} {'x Channels':>10}")
    for contestant, figures in medians.items():
        rival = medians.get(_upstream_like(medians, contestant.name.partition(", ")[2]))
        by_rate = _ratios(figures.rate, limit and limit.rate, rival and rival.rate)
        # More time is less speed.
        by_cpu = _ratios(1 / figures.cpu, limit and 1 / limit.cpu, rival and 1 / rival.cpu)
        columns = f"{figures.rate:12,.0f} {by_rate} {figures.cpu:8.2f} {by_cpu}"
        print(f"{contestant.name:34} {columns}")


def _ratios(own: float, limit: float | None, rival: float | None) -> str:
    of_limit = f"{own / limit:.0%}" if limit else ""
    times = f"{own / rival:.1f}" if rival else ""
    return f"{of_limit:>6} {times:>10}"


def _upstream_like(medians: dict[Contestant, Figures], same: str) -> Contestant:
    name = f"Channels /chat/, {same}"
    return next((one for one in medians if one.name == name), Contestant("", (), ""))


def main() -> None:
    """Run the line-up in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", action="append", help="3.13 and 3.11 by default")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        found = line_up(Path(folder), options.members, options.python or ["3.13", "3.11"])
        contestants.pin_myself()
        seen: dict[Contestant, list[Figures]] = {contestant: [] for contestant in found}
        for _ in range(options.repeats):
            for contestant in found:
                seen[contestant].append(measure(contestant, options.members, options.rounds))
        report(seen)


if __name__ == "__main__":
    main()

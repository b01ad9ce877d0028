"""A client that stops reading while its room is flooded: what the others notice of it.

    python benchmarks/macro/slow.py [--members N] [--slow N] [--rate N] [--seconds N] [--repeats N]

One room, one sender, ``rate`` messages a second of 10 KB for everyone. In every other run ``slow``
of the members read nothing. Printed: how late the messages came to those who read, in medians of
the runs' percentiles, and the largest growth of the server's memory in a run. Late is counted from
when a message was due, so a stall is not left out.
"""

from __future__ import annotations

import argparse
import json
import statistics

import contestants
from contestants import Contestant, running
from peers import Peers


def measure(contestant: Contestant, options: argparse.Namespace, slow: int) -> list[float]:
    """Return median and 99th percentile in milliseconds, and the growth in MiB, of one run."""
    payload = json.dumps({"message": "x" * 10_000}).encode()
    with running(contestant) as server:
        peers = Peers(server.port, contestant.path)
        peers.open(options.members)
        peers.fan_out(payload, 20, 2)
        before = server.pss_kib()
        peers.ignore(slow)
        late = peers.delays(payload, options.rate, options.seconds)
        grown = (server.pss_kib() - before) / 1024
        peers.close()
    expected = int(options.rate * options.seconds) * (options.members - slow)
    if len(late) != expected:
        raise SystemExit(f"{expected - len(late)} of {expected} messages did not come")
    cuts = statistics.quantiles(late, n=100)
    return [cuts[49] * 1000, cuts[98] * 1000, grown]


def main() -> None:
    """Take turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--slow", type=int, default=1)
    parser.add_argument("--rate", type=float, default=150)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--python", default="3.13")
    options = parser.parse_args()
    ours = contestants.our_python(options.python)
    contestant = contestants.seaway(ours, options.python, "uvloop", path="/room/")
    contestants.pin_myself()
    seen: dict[int, list[list[float]]] = {0: [], options.slow: []}
    for _ in range(options.repeats):
        for slow, runs in seen.items():
            runs.append(measure(contestant, options, slow))
    print(f"{'do not read':>11} {'median ms':>10} {'p99 ms':>8} {'most MiB':>9}")
    for slow, runs in seen.items():
        median, p99, _ = (statistics.median(column) for column in zip(*runs, strict=True))
        most = max(grown for *_, grown in runs)
        print(f"{slow:11} {median:10.2f} {p99:8.2f} {most:9.2f}")


if __name__ == "__main__":
    main()

"""How long a fan-out to very many members holds the event loop.

    python benchmarks/macro/hold.py [--members 9900] [--seconds N] [--python 3.13]

One consumer of the server has a timer of a millisecond and notes how late it is, while another
client sends broadcasts to everyone, three at a time, and without them. Printed: the timer's
delays in ms, the longest pause of the garbage collector, and how long the slices of the fan-outs
took, each timed around ``FanOut.advance`` by the CPU time of its thread, which other programs on
the machine do not change. The server has one core and the clients another.
"""

from __future__ import annotations

import argparse
import json
import time

import contestants
from contestants import running
from peers import Peers
from workloads import PAYLOAD, allow_many_sockets

TOGETHER = 3


def phase(ticker: Peers, room: Peers | None, seconds: float) -> str:
    """Let the timer run, with broadcasts to a room if there is one; return a line of the table."""
    ticker.tell(b"begin")
    until = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < until:
        if room is None:
            time.sleep(0.1)
        else:
            room.fan_out(PAYLOAD, TOGETHER, TOGETHER)
            rounds += TOGETHER
    ticker.tell(b"end")
    worst, pauses, slices = json.loads(ticker.hear())
    ticks, count = json.loads(ticker.hear())
    # The hundred worst are enough for this percentile of up to 100,000 ticks.
    above = max(1, round(ticks / 1000))
    collector = max(pauses, default=0.0)
    late = max(1, round(count / 1000))
    held = f"{slices[-late]:10.2f} {slices[-1]:8.2f}" if slices else f"{'':19}"
    return (
        f"{rounds:10} {ticks:8} {worst[-above]:10.2f} {worst[-1]:8.2f} {collector:12.2f} "
        f"{count:8} {held}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=9900)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--python", default="3.13")
    options = parser.parse_args()
    allow_many_sockets()
    python = contestants.our_python(options.python)
    seaway = contestants.seaway(python, options.python, "uvloop", path="/room/")
    contestants.pin_myself()
    with running(seaway) as server:
        room = Peers(server.port, "/room/")
        room.open(options.members)
        ticker = Peers(server.port, "/ticker/")
        ticker.open(1)
        columns = (
            f"{'broadcasts':>10} {'ticks':>8} {'p99.9 ms':>10} {'worst':>8} {'collector ms':>12} "
            f"{'slices':>8} {'p99.9 ms':>10} {'worst':>8}"
        )
        print(f"{'':12}{columns}")
        print(f"{'without':12}{phase(ticker, None, options.seconds)}", flush=True)
        print(f"{'broadcasts':12}{phase(ticker, room, options.seconds)}")


if __name__ == "__main__":
    main()

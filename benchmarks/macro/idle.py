"""What an idle connection costs in memory and to open, and whether it lasts.

    python benchmarks/macro/idle.py [--connections 5000] [--hold SECONDS] [--python 3.13]
        [--only NAME] [--stages]

Measured: the growth of the server's PSS, from 200 connections to so many more, through uvicorn,
AuthMiddlewareStack, URLRouter and an AsyncWebsocketConsumer in one group; no compression; and the
server's CPU time for each of these openings. With
``--hold`` the clients then answer pings for so long, and connections that were lost are counted.
Not measured: the kernel's own memory for a socket.
"""

from __future__ import annotations

import argparse
import resource
import time

import contestants
from contestants import Contestant, running
from peers import Peers

FIRST = 200


def measure(contestant: Contestant, connections: int, hold: float) -> str:
    """Return one line of the table."""
    with running(contestant) as server:
        peers = Peers(server.port, contestant.path)
        peers.open(FIRST)
        time.sleep(1)
        before, cpu = server.pss_kib(), server.cpu_seconds()
        peers.open(connections)
        microseconds = (server.cpu_seconds() - cpu) / connections * 1e6
        time.sleep(2)
        grown = (server.pss_kib() - before) / connections
        lost = f"{peers.answer_pings(hold)} lost in {hold:g} s" if hold else ""
        peers.close()
        return f"{contestant.name:44} {grown:8.2f} {microseconds:10,.0f}  {lost}"


def stages(version: str) -> list[Contestant]:
    """Return servers each of which has one part more than the one before."""
    python = contestants.our_python(version)
    bare = Contestant("a protocol that keeps nothing", (python, "bare.py", "{port}"), "/idle/")
    apps = ("bare:application", "bare:consumer", "bare:grouped", "bare:routed", "rooms:application")
    return [
        bare,
        *(contestants.seaway(python, version, "uvloop", path="/idle/", app=app) for app in apps),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--hold", type=float, default=0)
    parser.add_argument("--python", action="append", help="3.13 and 3.11 by default")
    parser.add_argument("--stages", action="store_true", help="what each part of it adds, uvloop")
    parser.add_argument("--only", default="", help="part of the names of those that take part")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(f"{'contestant':44} {'KiB each':>8} {'us of CPU':>10}")
    contestants.pin_myself()
    if options.stages:
        for contestant in stages((options.python or ["3.13"])[0]):
            print(measure(contestant, options.connections, 0), flush=True)
        return
    for version in options.python or ["3.13", "3.11"]:
        ours, theirs = contestants.our_python(version), contestants.upstream_python(version)
        for loop in ("uvloop", "asyncio"):
            for contestant in (
                contestants.seaway(ours, version, loop, path="/idle/"),
                contestants.stock(ours, version, loop, path="/idle/"),
                contestants.upstream(theirs, version, loop, path="/idle/"),
            ):
                if options.only in contestant.name:
                    print(measure(contestant, options.connections, options.hold), flush=True)


if __name__ == "__main__":
    main()

"""The servers of these benchmarks, each pinned to one core in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).parent
sys.path += [str(ROOT), str(ROOT / "tools")]

import matrix  # noqa: E402 - a script in tools/

from tests.compat import environment  # noqa: E402

SERVER_CORE: Final = 0
SAME: Final = ("uvicorn", "websockets", "httptools")
OTHERS: Final = ("starlette", "python-socketio", "matplotlib")
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contestant:
    """One server.

    Attributes:
        name: In the table.
        command: Starts it; ``{port}`` is filled in.
        path: Where its clients connect.
        layer: Of Channels, as a setting has it; ``None`` for that in memory.
    """

    name: str
    command: tuple[str, ...]
    path: str
    layer: str | None = None


@dataclass
class Running:
    """A server that runs."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return what it has used of its core."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def pss_kib(self) -> int:
        """Return its memory, with its share of what it has in common with others."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")


def seaway(
    python: str, version: str, loop: str, *, path: str, app: str = "rooms:application"
) -> Contestant:
    """Return Seaway under uvicorn with our protocol class."""
    name = f"Seaway {path}" if app.startswith("rooms") else app
    return Contestant(
        f"{name}, {version}, {loop}",
        (
            *_uvicorn(python, loop, "channels.server:WebSocketProtocol", app=app),
            "--http",
            "channels.server:HttpProtocol",
        ),
        path,
    )


def stock(python: str, version: str, loop: str, *, path: str) -> Contestant:
    """Return Seaway under stock uvicorn."""
    return Contestant(
        f"Seaway {path}, stock uvicorn, {version}, {loop}", _uvicorn(python, loop, "auto"), path
    )


def upstream(python: str, version: str, loop: str, *, path: str = "/chat/") -> Contestant:
    """Return Django Channels under uvicorn."""
    return Contestant(f"Channels {path}, {version}, {loop}", _uvicorn(python, loop, "auto"), path)


def other(python: str, version: str, loop: str, *, app: str, path: str = "/") -> Contestant:
    """Return an application of another framework under stock uvicorn."""
    name = app.partition(":")[0].removeprefix("with_")
    return Contestant(
        f"{name} {path}, {version}, {loop}", _uvicorn(python, loop, "auto", app=app), path
    )


def c_programs(folder: Path, members: int, payload: int) -> list[Contestant]:
    """Build the C program and return both of its ways to write; none without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return []
    program = folder / "fan_out"
    subprocess.run([compiler, "-O2", "-o", str(program), str(HERE / "fan_out.c")], check=True)
    command = (str(program), "{port}", str(members), str(payload))
    return [
        Contestant("C, one write each", command, "/"),
        Contestant("C, one write for what comes together", (*command, "together"), "/"),
    ]


def our_python(version: str) -> str:
    """Return an interpreter of that version with Seaway in it."""
    return matrix.prepare(matrix.Pair(version, "5.2"), _interpreter(version))


def upstream_python(version: str) -> str:
    """Return one with Django Channels, and uvicorn as we have it; built once."""
    folder = ROOT / ".venvs" / f"bench-upstream-{version}"
    python = folder / "bin" / "python"
    same = [f"{name}=={importlib.metadata.version(name)}" for name in SAME]
    wanted = [*environment.UPSTREAM, "Django==5.2.*", *same, "uvloop", *OTHERS]
    stamp = folder / "stamp"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != "\n".join(wanted):
        subprocess.run([str(_interpreter(version)), "-m", "venv", "--clear", folder], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        stamp.write_text("\n".join(wanted), encoding="utf-8")
    return str(python)


@contextlib.contextmanager
def running(contestant: Contestant) -> Iterator[Running]:
    """Run it on its core until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [part.format(port=port) for part in contestant.command]
    environment = {} if contestant.layer is None else {"BENCHMARK_LAYER": contestant.layer}
    process = subprocess.Popen(command, cwd=HERE, env=os.environ | environment)
    os.sched_setaffinity(process.pid, {SERVER_CORE})
    try:
        _wait_for(port, process)
        yield Running(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pin_myself() -> None:
    """Keep this process, which has the clients, off the servers' core, if there is another."""
    others = os.sched_getaffinity(0) - {SERVER_CORE}
    if others:
        os.sched_setaffinity(0, others)


def _interpreter(version: str) -> Path:
    found = matrix.find_python(version)
    if found is None:
        raise SystemExit(f"there is no Python {version} on this machine")
    return found


def _uvicorn(python: str, loop: str, ws: str, *, app: str = "rooms:application") -> tuple[str, ...]:
    options = ("--loop", loop, "--ws", ws, "--log-level", "warning", "--lifespan", "off")
    return (python, "-m", "uvicorn", app, "--port", "{port}", *options)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when somebody listens; the C program must not lose its first client to this."""
    deadline = time.monotonic() + 30
    hexadecimal = f"0100007F:{port:04X} 00000000:0000 0A"
    while time.monotonic() < deadline and process.poll() is None:
        if hexadecimal in Path("/proc/net/tcp").read_text(encoding="ascii"):
            return
        time.sleep(0.05)
    raise SystemExit(f"the server does not start: {process.args!r}")

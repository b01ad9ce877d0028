"""Run the Autobahn WebSocket test suite against our server, and fail if a case fails.

    python tools/conformance.py [CASES ...]
    python tools/conformance.py --find

CASES are the suite's own patterns, such as ``7.*``; by default all, and then the page
docs/reference/conformance.md is written anew. The suite runs on CPython 2.7, found on PATH or among
pyenv's; where there is none this says so and fails, and ``--find`` prints just where it is. The
suite is installed once, under ``.venvs``.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
REQUIREMENTS: Final = ROOT / "requirements" / "conformance.in"
SUITE: Final = ROOT / ".venvs" / "conformance"
RESULTS: Final = ROOT / "docs" / "reference" / "conformance.md"
START: Final = """
import site, sys
site.addsitedir({suite!r})
sys.argv[0] = "wstest"
from autobahntestsuite.wstest import run
run()
"""
# Two at a time, since the suite itself is what takes long. Each about half of the work.
HALVES: Final = (
    ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "13.5.*", "13.6.*", "13.7.*"],
    ["12.*", "13.1.*", "13.2.*", "13.3.*", "13.4.*"],
)
GROUPS: Final = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "close",
    "9": "limits and performance",
    "10": "auto-fragmentation",
    "12": "compression, by kind of payload",
    "13": "compression, by parameters",
}
GOOD: Final = ("OK", "NON-STRICT", "INFORMATIONAL")

Case = dict[str, Any]


def find_python() -> str | None:
    """Return an interpreter of CPython 2.7."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which("python2.7"), shutil.which("python2")]
    candidates += map(str, sorted(pyenv.glob("versions/2.7.*/bin/python"), reverse=True))
    for candidate in filter(None, candidates):
        asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        # A shim of pyenv exists for versions that are not switched on, and then fails.
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() == "2.7":
            return candidate
    return None


def install(python: str) -> None:
    """Install the suite once, and again when its requirements change."""
    stamp = SUITE / "stamp"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(SUITE, ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(SUITE)]
    subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True)
    stamp.write_text(wanted, encoding="utf-8")


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Serve the echo consumer until the block ends; gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["uvicorn", "tests.conformance.echo:application", "--port", str(port)]
    options = ["--ws", "channels.server:WebSocketProtocol", "--log-level", "warning"]
    server = subprocess.Popen(
        [sys.executable, "-m", *command, *options, "--lifespan", "off"], cwd=ROOT
    )
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def run_suite(python: str, port: int, cases: list[list[str]]) -> dict[str, Case]:
    """Run each list of cases in a process of its own and return the results by case."""
    results: dict[str, Case] = {}
    with tempfile.TemporaryDirectory() as folder:
        running = [
            _start(python, port, Path(folder) / str(number), cases=chosen)
            for number, chosen in enumerate(cases)
        ]
        codes = [process.wait() for process in running]
        for number in range(len(cases)):
            index = Path(folder) / str(number) / "index.json"
            if codes[number] or not index.is_file():
                raise SystemExit((Path(folder) / f"{number}.log").read_text(errors="replace"))
            results |= json.loads(index.read_text(encoding="utf-8"))["Seaway"]
    return results


def failures(results: dict[str, Case]) -> list[str]:
    """Return a line for each case that is worse than non-strict."""
    return [
        f"{name}: {case['behavior']}, close {case['behaviorClose']} ({case['remoteCloseCode']})"
        for name, case in sorted(results.items(), key=lambda item: _order(item[0]))
        if case["behavior"] not in GOOD or case["behaviorClose"] not in GOOD
    ]


def write_results(results: dict[str, Case], seconds: float) -> None:
    """Write the page of the documentation."""
    rows = []
    for group, about in GROUPS.items():
        cases = {name: case for name, case in results.items() if name.split(".")[0] == group}
        count = Counter(case["behavior"] for case in cases.values())
        failed = len(cases) - sum(count[word] for word in GOOD)
        columns = [str(count[word]) for word in GOOD]
        rows.append(f"| {group} | {about} | {len(cases)} | {' | '.join(columns)} | {failed} |")
    lenient = [
        name for name in sorted(results, key=_order) if results[name]["behavior"] == "NON-STRICT"
    ]
    RESULTS.write_text(
        PAGE.format(
            cases=len(results),
            minutes=round(seconds / 60),
            python=platform.python_version(),
            rows="\n".join(rows),
            lenient=", ".join(lenient) or "none",
        ),
        encoding="utf-8",
    )


PAGE: Final = """# Conformance

`make conformance` runs the [Autobahn test suite](https://github.com/crossbario/autobahn-testsuite)
0.8.2 against `channels.server:WebSocketProtocol` under uvicorn and writes this page. The suite
needs CPython 2.7. This run: {cases} cases in {minutes} minutes on CPython {python}, with an echo
consumer and limits raised for the messages of 16 MiB in case 9.

| cases | about | run | ok | non-strict | informational | failed |
|---|---|---|---|---|---|---|
{rows}

Non-strict: {lenient}. There the suite sends something legal right before something illegal, or
something illegal in the middle of a frame, and would like an answer to the first, or the refusal
before the frame is whole. Seaway fails the connection as soon as it has read what is illegal, with
the right code.
"""


def main(patterns: list[str]) -> int:
    """Run the suite; return the exit code."""
    python = find_python()
    if patterns == ["--find"]:
        print(python or "")
        return int(python is None)
    if python is None:
        print("The Autobahn test suite needs CPython 2.7, and there is none on PATH or in pyenv.")
        return 1
    install(python)
    start = time.monotonic()
    with serving() as port:
        results = run_suite(python, port, [patterns] if patterns else list(HALVES))
    seconds = time.monotonic() - start
    failed = failures(results)
    counted = Counter(case["behavior"] for case in results.values())
    print(f"{len(results)} cases in {seconds:.0f} s: {dict(counted)}", *failed, sep="\n")
    if not patterns and not failed:
        write_results(results, seconds)
    return 1 if failed or not results else 0


def _start(python: str, port: int, folder: Path, *, cases: list[str]) -> subprocess.Popen[bytes]:
    spec = folder.with_suffix(".json")
    server = {"agent": "Seaway", "url": f"ws://127.0.0.1:{port}"}
    chosen = {"cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}
    spec.write_text(json.dumps({"outdir": str(folder), "servers": [server], **chosen}))
    with folder.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [python, "-c", START.format(suite=str(SUITE)), "-m", "fuzzingclient", "-s", str(spec)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit("the server does not start")


def _order(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

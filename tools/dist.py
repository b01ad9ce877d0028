"""Build the distribution, look into it, and run the demo from the wheel alone.

python tools/dist.py [FOLDER]      FOLDER, ``dist`` if not given, receives sdist and wheel
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src"
UV: Final = str(Path(sys.executable).with_name("uv"))
START_SECONDS: Final = 30

# What a build could leave out unnoticed: none of it is a module that an import would miss.
NEEDED: Final = (
    "channels/py.typed",
    "channels_redis/py.typed",
    "channels/management/__init__.py",
    "channels/management/commands/__init__.py",
    "channels/management/commands/runserver.py",
    "channels/management/commands/runworker.py",
    "channels/static/channels/topics.js",
    "channels/static/channels/topics.min.js",
    "channels/static/channels/topics.module.min.js",
)


class DistError(Exception):
    """The distribution is not what it should be; the text says where."""


def build(target: Path) -> Path:
    """Build the sdist, and the wheel from that sdist; return the wheel."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(
        [UV, "build", "--quiet", "--no-config", "--no-build-isolation", "--out-dir", str(target)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
    )
    (wheel,) = target.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> int:
    """Compare the wheel with the source, file by file; return the number of files.

    Raises:
        DistError: A file is missing, or one is there that no package owns.
    """
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = {name.split("/", 1)[1] for name in archive.namelist() if ".dist-info/" in name}
    source = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if missing := sorted((source | set(NEEDED)) - held):
        raise DistError(f"{wheel.name} lacks {', '.join(missing)}")
    if foreign := sorted(held - source):
        raise DistError(f"{wheel.name} holds {', '.join(foreign)}, which src/ does not")
    if "licenses/LICENSE" not in metadata:
        raise DistError(f"{wheel.name} lacks its licence")
    return len(held)


def install(wheel: Path, environment: Path) -> Path:
    """Make an environment with the wheel and the pinned demo requirements; return its Python."""
    python = environment / "bin" / "python"
    into = [UV, "pip", "install", "--quiet", "--no-config", "--python", str(python)]
    subprocess.run(
        [UV, "venv", "--quiet", "--no-config", "--python", sys.executable, str(environment)],
        check=True,
    )
    pinned = str(ROOT / "requirements" / "demo.txt")
    subprocess.run([*into, "--require-hashes", "-r", pinned], check=True)
    subprocess.run([*into, "--no-deps", str(wheel)], check=True)
    return python


@contextlib.contextmanager
def serve_demo(python: Path, folder: Path) -> Iterator[int]:
    """Serve a copy of the demo from ``folder`` and yield its port."""
    demo = folder / "demo"
    left = shutil.ignore_patterns("*.sqlite3*", "__pycache__")
    shutil.copytree(ROOT / "examples" / "demo", demo, ignore=left)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "DJANGO"))
    }
    server = subprocess.Popen([str(python), "run.py"], cwd=demo, env={**environ, "PORT": str(port)})
    try:
        yield port
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            raise DistError("the demo was still running 10 s after SIGTERM") from None


def wait_for(url: str) -> str:
    """Return the page at ``url`` once there is a server.

    Raises:
        DistError: There was none within ``START_SECONDS``.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  loopback
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            raise DistError(f"GET {url} answered {error.code}") from error
        except urllib.error.URLError:
            time.sleep(0.1)
    raise DistError(f"no answer from {url} within {START_SECONDS} s")


def try_demo(port: int) -> None:
    """Ask the running demo for a page, a static file and a WebSocket.

    Raises:
        DistError: One of them was not served.
    """
    home = f"http://127.0.0.1:{port}"
    page = wait_for(f"{home}/")
    if "<form" not in page:
        raise DistError(f"GET {home}/ did not lead to the sign-in page: {page[:200]!r}")
    wait_for(f"{home}/static/admin/css/base.css")
    wait_for(f"{home}/static/channels/topics.module.min.js")
    with connect(f"ws://127.0.0.1:{port}/ws/waves/", origin=Origin(home)) as websocket:
        try:
            websocket.recv(timeout=10)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
        else:
            code = None
    # The consumer's own word for "nobody is signed in": sessions, auth and routing have run.
    if code != 4401:
        raise DistError(f"the socket of a stranger was closed with {code}, not 4401")


def main(arguments: list[str]) -> int:
    """Do all of it; return the exit status."""
    target = Path(arguments[0] if arguments else ROOT / "dist").resolve()
    try:
        wheel = build(target)
        print(f"{wheel.name}: {check_contents(wheel)} files, {wheel.stat().st_size // 1024} KiB")
        with tempfile.TemporaryDirectory(prefix="seaway-dist-") as name:
            folder = Path(name)
            python = install(wheel, folder / "environment")
            with serve_demo(python, folder) as port:
                try_demo(port)
        print("the demo runs from the wheel: page, static file, WebSocket")
    except DistError as error:
        print(f"dist: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

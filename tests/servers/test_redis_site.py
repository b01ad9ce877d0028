"""Sites of real server processes over one Redis."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.faults.chatting import Site
from tests.servers.engines import Engine, wait_for
from tests.slow import SLOW

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ["core.RedisChannelLayer", "pubsub.RedisPubSubChannelLayer"]
CONNECTIONS = 2000
GROUP_SIZE = 50


@pytest.fixture(params=BACKENDS)
def site(
    request: pytest.FixtureRequest, engine_of: Callable[[str], Engine], tmp_path: Path
) -> Iterator[Site]:
    layer = {"BACKEND": f"channels_redis.{request.param}"}
    site = Site(layer | {"CONFIG": {"hosts": engine_of("two shards").hosts}}, tmp_path / "log")
    yield site
    site.kill()
    assert "Traceback" not in site.log.read_text()


@pytest.mark.timeout(120)
async def test_two_thousand_connections_at_once_are_served_over_few_to_redis(
    site: Site, engine_of: Callable[[str], Engine]
) -> None:
    async def join(number: int) -> Any:
        url = f"ws://127.0.0.1:{site.port}/room{number // GROUP_SIZE}/"
        return await connect(url, compression=None, open_timeout=60 * SLOW, ping_interval=None)

    await asyncio.to_thread(wait_for, lambda: _answers(site.port), "the server")
    sockets = await asyncio.gather(*[join(number) for number in range(CONNECTIONS)])
    for first in sockets[::GROUP_SIZE]:
        await first.send(json.dumps("hello"))
    async with asyncio.timeout(30 * SLOW):
        lines = [await _line(socket) for socket in sockets]

    assert lines == ["hello"] * CONNECTIONS
    for server in engine_of("two shards").servers:
        assert server.connections() <= 4
    await asyncio.gather(*[socket.close() for socket in sockets])


@pytest.mark.parametrize("ours_sends", [True, False], ids=["to the old one", "from the old one"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_this_release_and_the_one_before_understand_each_other(
    engine_of: Callable[[str], Engine],
    previous: Path,
    backend: str,
    ours_sends: bool,
) -> None:
    engine = engine_of("single")
    engine.flush()
    script = [sys.executable, str(Path(__file__).with_name("release_peer.py")), backend]
    hosts = json.dumps(engine.hosts)

    with subprocess.Popen(
        [*script, "receive", hosts],
        env=_path(previous if ours_sends else None),
        stdout=subprocess.PIPE,
        text=True,
    ) as receiver:
        assert receiver.stdout is not None
        of_receiver = receiver.stdout.readline()
        assert of_receiver.startswith("ready with ")
        assert (str(previous) in of_receiver) is ours_sends
        subprocess.run(
            [*script, "send", hosts], env=_path(None if ours_sends else previous), check=True
        )
        seen = receiver.stdout.read()

    assert seen.splitlines() == ["group 1", "group 2"]
    assert receiver.returncode == 0


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of the commit before, from its wheel."""
    folder = tmp_path_factory.mktemp("previous")
    tree = folder / "tree"
    tree.mkdir()
    archive = folder / "tree.tar"
    _run("git", "-C", str(ROOT), "archive", "--output", str(archive), "HEAD~1")
    with tarfile.open(archive) as tar:
        tar.extractall(tree, filter="data")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
    _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(tree))
    [wheel] = folder.glob("*.whl")
    target = folder / "packages"
    _run(*pip, "install", "--no-deps", "--target", str(target), str(wheel))
    return target


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _path(packages: Path | None) -> dict[str, str]:
    return {"PYTHONPATH": str(packages)} if packages is not None else {}


def _answers(port: int) -> bool:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


async def _line(socket: Any) -> Any:
    while True:
        event = json.loads(await socket.recv())
        if "line" in event:
            return event["line"]

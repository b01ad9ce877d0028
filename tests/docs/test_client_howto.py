"""The client of the page, against a server that restarts."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.serving import Server, serve
from tests.slow import SLOW

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "write-a-client.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve("serve", tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture
def page() -> dict[str, Any]:
    """What the page's code defines."""
    namespace: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, namespace)  # noqa: S102 - the page's own
    return namespace


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def publish(server: Server, key: str, text: str) -> None:
    await asyncio.to_thread(server.request, f"/publish/{key}/", method="POST", body=text.encode())


async def test_nothing_is_missed_over_a_restart(
    server: Server, page: dict[str, Any], key: str
) -> None:
    follower = page["Follower"](f"ws://{server.address}/topics/", f"lines.{key}")
    events = follower.events()
    async with asyncio.timeout(30 * SLOW):
        first = asyncio.ensure_future(anext(events))
        while follower.position is None:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        await publish(server, key, "one")
        seen = [await first]
        await asyncio.to_thread(server.get, "/restart/")
        await publish(server, key, "two")
        await publish(server, key, "three")
        seen += [await anext(events), await anext(events)]
        await publish(server, key, "four")
        seen.append(await anext(events))
    await events.aclose()

    assert seen == [("publication", text) for text in ("one", "two", "three", "four")]
    assert follower.position.endswith(":4")


async def test_a_hole_is_filled(server: Server, page: dict[str, Any], key: str) -> None:
    for text in ("one", "two", "three"):
        await publish(server, key, text)
    follower = page["Follower"](f"ws://{server.address}/topics/", f"lines.{key}")
    events = follower.events()
    async with asyncio.timeout(30 * SLOW):
        first = asyncio.ensure_future(anext(events))
        while follower.position is None:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        # As if it had never been told of two and three.
        follower.position = follower.position.replace(":3", ":1")
        await publish(server, key, "four")
        seen = [await first, await anext(events), await anext(events)]
    await events.aclose()

    assert [data for _, data in seen] == ["two", "three", "four"]


async def test_a_gap_is_told(server: Server, page: dict[str, Any], key: str) -> None:
    follower = page["Follower"](f"ws://{server.address}/topics/", f"lines.{key}", "old:7")
    events = follower.events()

    async with asyncio.timeout(30 * SLOW):
        assert await anext(events) == ("gap", "epoch")
    await events.aclose()


async def test_a_refusal_ends_it(server: Server, page: dict[str, Any]) -> None:
    events = page["Follower"](f"ws://{server.address}/topics/", "no.such").events()

    with pytest.raises(page["Refused"], match=r"no topic 'no\.such'"):
        async with asyncio.timeout(30 * SLOW):
            await anext(events)

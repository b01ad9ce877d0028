"""Each scenario with both faces, on a layer of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels.layers import InMemoryChannelLayer, channel_layers
from tests.unit.channels.generic.faces import ASYNC, SYNC, Face


@pytest.fixture(params=[ASYNC, SYNC], ids=repr)
def face(request: pytest.FixtureRequest) -> Face:
    """Return the face to run the scenario with."""
    found: Face = request.param
    return found


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    """Return an empty layer in the place of the default one."""
    fresh = InMemoryChannelLayer()
    channel_layers.set("default", fresh)
    yield fresh
    channel_layers.backends.clear()

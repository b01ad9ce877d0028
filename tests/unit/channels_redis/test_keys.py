"""Names in Redis, and the shards they are on."""

from __future__ import annotations

import re

import pytest

from channels_redis._keys import SLOTS, Keys, slot, spread_tags


@pytest.mark.parametrize(("tag", "expected"), [("123456789", 12739), ("foo", 12182), ("", 0)])
def test_slots_are_those_of_the_cluster_specification(tag: str, expected: int) -> None:
    assert slot(tag) == expected


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7, 16])
def test_tags_are_spread_evenly_over_the_slots(parts: int) -> None:
    tags = spread_tags(parts)

    assert [slot(tag) * parts // SLOTS for tag in tags] == list(range(parts))
    assert tags == spread_tags(parts)


def test_all_names_of_a_shard_share_its_hash_tag_and_its_prefix() -> None:
    keys = Keys("site", "3.1")
    names = [
        keys.group("room"),
        keys.queue("jobs"),
        keys.waiters("jobs"),
        keys.stored("me"),
        keys.pulled("me"),
        keys.inbox + "node",
        keys.node + "node",
        keys.history("room"),
        keys.position("room"),
        keys.published("room", "id"),
        keys.members("room"),
        keys.leases("room"),
        keys.version("room"),
        keys.here("room") + "node",
        keys.topic("room"),
        keys.signals(),
        keys.echo("node"),
    ]

    assert len(set(names)) == len(names)
    for name in names:
        assert name.startswith("site:{3.1}:")


def test_channels_are_those_of_one_database() -> None:
    one, other = Keys("site", "0", 1), Keys("site", "0", 2)

    assert one.history("room") == other.history("room")
    for name in (lambda keys: keys.topic("room"), Keys.signals, lambda keys: keys.echo("node")):
        assert name(one) != name(other)


def test_the_pattern_of_everything_fits_no_other_prefix() -> None:
    pattern = Keys("a*b?", "0").everything()

    assert pattern == r"a\*b\?:{0}:*"
    assert not re.match(r"a\\\*b\\\?:\{0\}:", "axb1:{0}:group")

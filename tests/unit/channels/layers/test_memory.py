"""The in-memory layer beyond the contract of every layer: its names, its dicts, its tidying."""

from __future__ import annotations

import asyncio
import inspect
import random
import re
import threading
from typing import Any

import pytest

from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer
from channels.telemetry import Event, MessageDropped
from tests.unit.channels.layers.conftest import Clock


def tick(n: object = 1) -> dict[str, Any]:
    return {"type": "tick", "n": n}


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer(expiry=60, group_expiry=3600, capacity=3)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def reader(layer: InMemoryChannelLayer, channel: str) -> asyncio.Task[Any]:
    task = asyncio.create_task(layer.receive(channel))
    await turns()
    return task


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


# Making one


def test_its_options_have_these_names_and_defaults() -> None:
    assert str(inspect.signature(InMemoryChannelLayer)).startswith(
        "(expiry: 'int' = 60, group_expiry: 'int' = 86400, capacity: 'int' = 100, "
        "channel_capacity: 'Mapping[Any, int] | None' = None, **kwargs: 'Any')"
    )


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError) as raised:
        InMemoryChannelLayer(hosts=["localhost"], prefix="x")

    assert str(raised.value) == (
        "InMemoryChannelLayer has no option hosts, prefix; "
        "expected expiry, group_expiry, capacity or channel_capacity"
    )


def test_its_options_can_be_read() -> None:
    layer = InMemoryChannelLayer(expiry=1, group_expiry=2, capacity=3, channel_capacity={"a*": 4})

    assert (layer.expiry, layer.group_expiry, layer.capacity) == (1, 2, 3)
    assert [(bool(pattern.match("ab")), size) for pattern, size in layer.channel_capacity] == [
        (True, 4)
    ]


async def test_closing_keeps_everything(layer: InMemoryChannelLayer) -> None:
    await layer.send("thumbs", tick())

    await layer.close()

    assert await layer.receive("thumbs") == tick()


# Sending


@pytest.mark.parametrize("message", ["text", [("type", "tick")], None])
async def test_only_a_dict_is_a_message(layer: InMemoryChannelLayer, message: Any) -> None:
    expected = f"a message is a dict, not {type(message).__name__}"

    with pytest.raises(AssertionError, match=expected):
        await layer.send("thumbs", message)
    with pytest.raises(AssertionError, match=expected):
        await layer.group_send("fingers", message)


async def test_the_reserved_key_is_refused(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(AssertionError, match="must not have the key '__asgi_channel__'"):
        await layer.send("thumbs", {"type": "tick", "__asgi_channel__": "thumbs"})


async def test_a_message_that_cannot_be_copied_is_refused_and_nothing_is_sent(
    layer: InMemoryChannelLayer,
) -> None:
    await layer.group_add("fingers", "thumbs")

    for attempt in (
        lambda: layer.send("thumbs", tick(threading.Lock())),
        lambda: layer.group_send("fingers", tick(threading.Lock())),
    ):
        with pytest.raises(TypeError, match=r"message of type 'tick' cannot be copied: .*lock"):
            await attempt()

    assert layer.channels == {}


async def test_a_full_channel_names_itself_and_its_capacity(layer: InMemoryChannelLayer) -> None:
    for n in range(3):
        await layer.send("thumbs", tick(n))

    with pytest.raises(ChannelFull) as raised:
        await layer.send("thumbs", tick())

    assert str(raised.value) == "channel 'thumbs' already holds 3 messages, its capacity"
    assert raised.value.channel == "thumbs"


async def test_a_capacity_by_name_is_that_of_the_first_pattern_that_matches() -> None:
    layer = InMemoryChannelLayer(
        capacity=1, channel_capacity={"jobs.*": 2, re.compile(r"jobs\.a"): 3}
    )
    await layer.send("jobs.a", tick())
    await layer.send("jobs.a", tick())
    await layer.send("other", tick())

    for full in ("jobs.a", "other"):
        with pytest.raises(ChannelFull):
            await layer.send(full, tick())


async def test_names_with_one_prefix_have_a_capacity_each(layer: InMemoryChannelLayer) -> None:
    for n in range(3):
        await layer.send("specific.x!one", tick(n))

    await layer.send("specific.x!two", tick())

    assert await layer.receive("specific.x!two") == tick()


# Names


async def test_new_channels_are_named_after_the_prefix() -> None:
    layer = InMemoryChannelLayer()

    assert re.fullmatch(r"specific\.\.inmemory![a-zA-Z]{12}", await layer.new_channel())
    assert re.fullmatch(r"mine\.inmemory![a-zA-Z]{12}", await layer.new_channel("mine"))


async def test_new_channels_do_not_repeat_when_the_random_module_is_seeded_again() -> None:
    layer = InMemoryChannelLayer()

    names = set()
    for _ in range(10):
        random.seed(1)
        names.add(await layer.new_channel())

    assert len(names) == 10


# The dict of channels


async def test_a_channel_is_there_while_a_message_waits(layer: InMemoryChannelLayer) -> None:
    await layer.send("thumbs", tick(1))
    await layer.send("thumbs", tick(2))
    assert list(layer.channels) == ["thumbs"]
    assert layer.channels["thumbs"].qsize() == 2

    await layer.receive("thumbs")
    assert "thumbs" in layer.channels
    assert layer.channels["thumbs"].qsize() == 1

    await layer.receive("thumbs")
    assert layer.channels == {}


async def test_a_channel_is_there_while_a_reader_waits(layer: InMemoryChannelLayer) -> None:
    one, two = await reader(layer, "thumbs"), await reader(layer, "thumbs")
    assert list(layer.channels) == ["thumbs"]

    await cancel(one)
    assert list(layer.channels) == ["thumbs"]

    await cancel(two)
    assert layer.channels == {}


async def test_a_channel_is_there_while_a_consumer_is_attached(layer: InMemoryChannelLayer) -> None:
    layer.attach("mine!1", lambda: None)
    assert list(layer.channels) == ["mine!1"]

    await layer.send("mine!1", tick())
    assert layer.channels["mine!1"].qsize() == 1

    layer.detach("mine!1")
    assert layer.channels == {}


async def test_deleting_a_channel_loses_no_message_that_its_reader_has_coming(
    layer: InMemoryChannelLayer,
) -> None:
    waiting = await reader(layer, "thumbs")
    await layer.send("thumbs", tick())

    del layer.channels["thumbs"]

    assert await waiting == tick()
    assert layer.channels == {}


async def test_a_deleted_channel_starts_anew(layer: InMemoryChannelLayer) -> None:
    await layer.send("thumbs", tick("old"))

    del layer.channels["thumbs"]
    await layer.send("thumbs", tick("new"))

    assert await layer.receive("thumbs") == tick("new")


async def test_other_channels_may_be_put_in_place_and_the_first_ones_back(
    layer: InMemoryChannelLayer,
) -> None:
    await layer.send("thumbs", tick(1))
    before = layer.channels

    layer.channels = {}
    await layer.send("thumbs", tick(2))

    assert await layer.receive("thumbs") == tick(2)
    assert layer.channels == {}
    layer.channels = before
    assert await layer.receive("thumbs") == tick(1)


@pytest.mark.parametrize("channels", [None, {"thumbs": []}])
def test_only_what_a_layer_has_had_is_put_in_place_of_its_channels(
    layer: InMemoryChannelLayer, channels: Any
) -> None:
    with pytest.raises(TypeError) as raised:
        layer.channels = channels

    assert str(raised.value) == (
        f"channels must be an empty dict, or one that this has been, not {channels!r}"
    )


# The dict of groups


async def test_other_groups_may_be_put_in_place(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("fingers", "thumbs")

    layer.groups = {"hands": {"thumbs": 1e12}}
    await layer.group_send("fingers", tick(1))
    await layer.group_send("hands", tick(2))

    assert layer.groups == {"hands": {"thumbs": 1e12}}
    assert await layer.receive("thumbs") == tick(2)
    layer.groups = {}
    assert layer.groups == {}


async def test_a_group_maps_its_channels_to_when_they_joined(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    await layer.group_add("fingers", "thumbs")
    clock.now += 5
    await layer.group_add("fingers", "pinkies")

    assert layer.groups == {"fingers": {"thumbs": clock.now - 5, "pinkies": clock.now}}


async def test_joining_again_renews_when_it_joined(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    await layer.group_add("fingers", "thumbs")
    clock.now += 5

    await layer.group_add("fingers", "thumbs")

    assert layer.groups["fingers"]["thumbs"] == clock.now


async def test_a_group_is_gone_when_its_last_member_leaves(layer: InMemoryChannelLayer) -> None:
    await layer.group_add("fingers", "thumbs")
    await layer.group_add("fingers", "pinkies")

    await layer.group_discard("fingers", "thumbs")
    assert list(layer.groups["fingers"]) == ["pinkies"]

    await layer.group_discard("fingers", "pinkies")
    assert layer.groups == {}


async def test_asking_for_an_unknown_group_does_not_make_it(layer: InMemoryChannelLayer) -> None:
    await layer.group_send("fingers", tick())
    await layer.group_discard("fingers", "thumbs")

    assert layer.groups == {}


async def test_a_channel_can_be_removed_from_all_its_groups(layer: InMemoryChannelLayer) -> None:
    for group in ("fingers", "toes"):
        await layer.group_add(group, "thumbs")
    await layer.group_add("fingers", "pinkies")

    layer._remove_from_groups("thumbs")

    assert {group: list(members) for group, members in layer.groups.items()} == {
        "fingers": ["pinkies"]
    }


async def test_detaching_leaves_every_group(layer: InMemoryChannelLayer) -> None:
    layer.attach("mine!1", lambda: None)
    await layer.group_add("fingers", "mine!1")

    layer.detach("mine!1")

    assert layer.groups == {}


# Tidying


async def receive(layer: InMemoryChannelLayer) -> None:
    await cancel(await reader(layer, "somebody.else"))


async def group_send(layer: InMemoryChannelLayer) -> None:
    await layer.group_send("somebody.else", tick())


async def clean_expired(layer: InMemoryChannelLayer) -> None:
    layer._clean_expired()


tidying = pytest.mark.parametrize("tidy", [receive, group_send, clean_expired])


@tidying
async def test_expired_messages_go_from_every_channel_and_are_counted(
    layer: InMemoryChannelLayer, clock: Clock, told: list[Event], tidy: Any
) -> None:
    await layer.send("thumbs", tick("old"))
    await layer.send("pinkies", tick("old"))
    clock.now += 30
    await layer.send("thumbs", tick("new"))
    clock.now += 31

    await tidy(layer)

    assert {name: box.qsize() for name, box in layer.channels.items()} == {"thumbs": 1}
    assert sorted(told) == [
        MessageDropped("pinkies", "expired"),
        MessageDropped("thumbs", "expired"),
    ]
    assert await layer.receive("thumbs") == tick("new")


@tidying
async def test_a_channel_that_lost_a_message_leaves_its_groups(
    layer: InMemoryChannelLayer, clock: Clock, tidy: Any
) -> None:
    for channel in ("thumbs", "pinkies"):
        await layer.group_add("fingers", channel)
    await layer.send("thumbs", tick())
    clock.now += 61

    await tidy(layer)

    assert list(layer.groups["fingers"]) == ["pinkies"]


async def test_old_memberships_end_in_a_group_when_it_is_sent_to(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    await layer.group_add("fingers", "thumbs")
    clock.now += 1800
    await layer.group_add("fingers", "pinkies")
    clock.now += 1801

    await layer.group_send("fingers", tick())

    assert list(layer.groups["fingers"]) == ["pinkies"]
    assert list(layer.channels) == ["pinkies"]


async def test_cleaning_ends_old_memberships_in_every_group(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    for group in ("fingers", "toes"):
        await layer.group_add(group, "thumbs")
    clock.now += 1800
    await layer.group_add("fingers", "pinkies")
    clock.now += 1801

    layer._clean_expired()

    assert {group: list(members) for group, members in layer.groups.items()} == {
        "fingers": ["pinkies"]
    }


async def test_a_receive_that_times_out_leaves_nothing_of_an_expired_channel(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    await layer.send("thumbs", tick())
    clock.now += 61

    await cancel(await reader(layer, "thumbs"))

    assert len(layer.channels) == 0


async def test_a_channel_full_of_expired_messages_has_room(
    layer: InMemoryChannelLayer, clock: Clock
) -> None:
    for n in range(3):
        await layer.send("thumbs", tick(n))
    clock.now += 61

    await layer.send("thumbs", tick("new"))

    assert await layer.receive("thumbs") == tick("new")


async def test_a_member_over_its_capacity_is_counted(
    layer: InMemoryChannelLayer, told: list[Event]
) -> None:
    await layer.group_add("fingers", "thumbs")

    for n in range(5):
        await layer.group_send("fingers", tick(n))

    assert told == [MessageDropped("thumbs", "full")] * 2


async def test_flushing_keeps_the_channels_of_those_who_read(layer: InMemoryChannelLayer) -> None:
    layer.attach("mine!1", lambda: None)
    waiting = await reader(layer, "thumbs")
    await layer.send("pinkies", tick())

    await layer.flush()

    assert sorted(layer.channels) == ["mine!1", "thumbs"]
    await cancel(waiting)


# Subclasses


class CopyingLayer(InMemoryChannelLayer):
    """Sends what it is given, and keeps it; some channels it refuses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sent: list[tuple[str, Any]] = []

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if channel == "refused":
            raise LookupError("nobody there")
        self.sent.append((channel, message))
        await super().send(channel, message)


async def test_a_send_of_a_subclass_is_asked_to_send_to_each_member_of_a_group() -> None:
    layer, message = CopyingLayer(), {"type": "tick", "n": [1]}
    for channel in ("thumbs", "pinkies"):
        await layer.group_add("fingers", channel)

    await layer.group_send("fingers", message)

    assert layer.sent == [("thumbs", message), ("pinkies", message)]
    assert layer.sent[0][1]["n"] is not layer.sent[1][1]["n"]
    assert [await layer.receive(channel) for channel, _ in layer.sent] == [message] * 2


async def test_a_send_of_a_subclass_gets_a_frame_for_clients_as_a_message_of_its_own() -> None:
    layer, message = CopyingLayer(), {"type": "websocket.send", "text": "x", "for": "you"}
    await layer.group_add("fingers", "thumbs")

    await layer.group_send("fingers", message)
    layer.sent[0][1]["changed"] = True

    assert await layer.receive("thumbs") == message


async def test_a_member_that_a_send_of_a_subclass_finds_full_is_counted(
    told: list[Event],
) -> None:
    layer = CopyingLayer(capacity=1)
    await layer.group_add("fingers", "thumbs")

    await layer.group_send("fingers", tick(1))
    await layer.group_send("fingers", tick(2))

    assert told == [MessageDropped("thumbs", "full")]
    assert await layer.receive("thumbs") == tick(1)


async def test_what_a_send_of_a_subclass_raises_keeps_no_member_from_its_message() -> None:
    layer = CopyingLayer()
    for channel in ("refused", "thumbs"):
        await layer.group_add("fingers", channel)

    with pytest.raises(LookupError, match="nobody there"):
        await layer.group_send("fingers", tick(1))

    assert await layer.receive("thumbs") == tick(1)

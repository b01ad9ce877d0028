"""Contract 08: the base layer's helpers and the memory layer."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from typing import Any

from asgiref.sync import async_to_sync

from channels.exceptions import ChannelFull
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, channel_layers
from support import CONNECT, Connection, Event, aoutcome, outcome

MOMENT = 0.05


async def _take(layer: Any, channel: str, timeout: float = 1.0) -> Any:
    """Receive, or return ``nothing`` when no message comes."""
    try:
        return await asyncio.wait_for(layer.receive(channel), timeout)
    except TimeoutError:
        return "nothing"


async def _takes(layer: Any, channel: str, count: int) -> list[Any]:
    return [await _take(layer, channel) for _ in range(count)]


# --- Names


def channel_names() -> object:
    """Contract 08, names [run]: ASCII, length below 100, one ``!`` with text before it."""
    layer = BaseChannelLayer()
    names: list[Any] = [
        "thumbs",
        "a-b_c.D9",
        "specific.x!y",
        "specific!",
        "!local",
        "a!b!c",
        "a b",
        "a?b",
        "",
        "a" * 99,
        "a" * 100,
        "a" * 90 + "!" + "b" * 8,
        5,
        None,
        b"bytes",
        "é",
        "a/b",
    ]
    return [[str(each), outcome(layer.require_valid_channel_name, each)] for each in names]


def channel_names_to_receive_on() -> object:
    """Contract 08, require_valid_channel_name: with ``receive`` a ``!`` must end the name."""
    layer = BaseChannelLayer()
    names = ["thumbs", "specific!", "specific.x!y"]
    return [outcome(layer.require_valid_channel_name, each, receive=True) for each in names]


def group_names() -> object:
    """Contract 08, names [run]: letters, digits, ``-``, ``_``, ``.``, 1 to 99 of them."""
    layer = BaseChannelLayer()
    names: list[Any] = ["room", "a-b_c.D9", "a" * 99, "a" * 100, "", "a b", "a!b", "a?", 5, None]
    return [[str(each), outcome(layer.require_valid_group_name, each)] for each in names]


def names_that_only_look_right() -> object:
    """Contract 08, quirks [run]: trailing newline, non-ASCII digits, Unicode after ``!``."""
    layer = BaseChannelLayer()
    return {
        "channels": [
            outcome(layer.require_valid_channel_name, each) for each in ("a\n", "٣", "a!é", "a!b\n")
        ],
        "groups": [outcome(layer.require_valid_group_name, each) for each in ("a\n", "٣")],
    }


def name_error_texts() -> object:
    """Contract 00, pinned texts: ``invalid_name_error`` has one slot, Channel or Group."""
    layer = InMemoryChannelLayer()
    channel = outcome(layer.require_valid_channel_name, "a b")
    group = outcome(layer.require_valid_group_name, "a b")
    return [
        str(channel) == layer.invalid_name_error.format("Channel"),
        str(group) == layer.invalid_name_error.format("Group"),
        layer.invalid_name_error.count("{}"),
        not set(layer.invalid_name_error) & set("()[]*+?^$|\\"),
    ]


async def operations_check_their_names() -> object:
    """Contract 08, names: every operation of the memory layer raises TypeError with the text."""
    layer = InMemoryChannelLayer()
    calls = [
        (layer.send, ("a b", {})),
        (layer.receive, ("a b",)),
        (layer.group_add, ("a b", "channel")),
        (layer.group_add, ("group", "a b")),
        (layer.group_discard, ("a b", "channel")),
        (layer.group_discard, ("group", "a b")),
        (layer.group_send, ("a b", {})),
        (layer.send, (7, {})),
    ]
    errors = [await aoutcome(function(*given)) for function, given in calls]
    texts = [layer.invalid_name_error.format(each) for each in ("Channel", "Group")]
    return [[error, texts.index(str(error)) if str(error) in texts else None] for error in errors]


def deprecated_name_checks() -> object:
    """Contract 00, pinned texts: ``valid_channel_name`` and ``valid_group_name`` warn."""
    layer = BaseChannelLayer()
    seen = []
    for call in (
        lambda: layer.valid_channel_name("a"),
        lambda: layer.valid_channel_name("a!b", receive=True),
        lambda: layer.valid_group_name("a"),
        lambda: layer.valid_group_name("a b"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = outcome(call)
        texts = [
            text
            for text in ("valid_channel_name is deprecated", "valid_group_name is deprecated")
            if any(text in str(each.message) for each in caught)
        ]
        seen.append([result, texts, [each.category.__name__ for each in caught]])
    return seen


def lists_of_channel_names() -> object:
    """Contract 08, valid_channel_names: AssertionError unless a non-empty list; each checked."""
    layer = BaseChannelLayer()
    given: list[Any] = [["a", "b"], [], ("a",), "a", ["a b"], ["a!"]]
    return [
        [outcome(layer.valid_channel_names, each) for each in given],
        outcome(layer.valid_channel_names, ["a!b"], receive=True),
    ]


def non_local_names() -> object:
    """Contract 08, non_local_name: up to and including the first ``!``, else unchanged."""
    layer = BaseChannelLayer()
    return [layer.non_local_name(each) for each in ("thumbs", "a.b!c", "a!", "a!b!c")]


def matching_type_and_length() -> object:
    """Contract 08, match_type_and_length: a bool."""
    layer = BaseChannelLayer()
    given: list[Any] = ["a", "a" * 99, "a" * 100, 5, b"a"]
    return [bool(layer.match_type_and_length(each)) for each in given]


def class_attributes() -> object:
    """Contract 08, BaseChannelLayer: the class attributes."""
    return {
        "MAX_NAME_LENGTH": BaseChannelLayer.MAX_NAME_LENGTH,
        "regexes": [
            bool(BaseChannelLayer.channel_name_regex.match("a.b!c")),
            bool(BaseChannelLayer.channel_name_regex.match("a b")),
            bool(BaseChannelLayer.group_name_regex.match("a.b")),
            bool(BaseChannelLayer.group_name_regex.match("a!b")),
        ],
        "extensions": InMemoryChannelLayer.extensions
        if isinstance(InMemoryChannelLayer.extensions, list)
        else "not a list",
    }


# --- Capacity


def compiled_capacities() -> object:
    """Contract 08, compile_capacities: globs and patterns, in the order of the dict."""
    layer = BaseChannelLayer()
    compiled = layer.compile_capacities({"jobs.*": 1, re.compile(r"^x\d$"): 2, "z?": 3})
    names = ["jobs.a", "x7", "za", "zab", "other"]
    return [
        isinstance(compiled, list),
        [value for _, value in compiled],
        [[bool(pattern.match(name)) for name in names] for pattern, _ in compiled],
    ]


def capacity_of_a_channel() -> object:
    """Contract 08, get_capacity: the first match of the full name, else ``capacity``."""
    layer = BaseChannelLayer(capacity=7)
    layer.channel_capacity = layer.compile_capacities({"jobs.*": 1, "jobs.a*": 2, "s!x": 3})
    return [layer.get_capacity(name) for name in ("jobs.a", "other", "s!x", "s!y")]


def base_layer_attributes() -> object:
    """Contract 08, BaseChannelLayer: what the constructor stores."""
    layer, default = BaseChannelLayer(5, capacity=6), BaseChannelLayer()
    return [layer.expiry, layer.capacity, default.expiry, default.capacity]


def memory_layer_attributes() -> object:
    """Contract 08, InMemoryChannelLayer: readable options; unknown ones are a TypeError."""
    layer = InMemoryChannelLayer(expiry=5, group_expiry=6, capacity=7)
    default = InMemoryChannelLayer()
    return [
        [each.expiry for each in (layer, default)],
        [each.group_expiry for each in (layer, default)],
        [each.capacity for each in (layer, default)],
        outcome(InMemoryChannelLayer, unknown=1),
        [layer.channels, layer.groups],
    ]


async def channel_capacity_in_memory() -> object:
    """Contract 08, quirks [run]: ``channel_capacity`` on the memory layer."""
    layer = outcome(InMemoryChannelLayer, channel_capacity={"jobs.*": 1, re.compile("x"): 2})
    if isinstance(layer, Exception):
        return layer
    return {
        name: [await aoutcome(layer.send(name, {"n": n})) for n in range(3)]
        for name in ("jobs.a", "x", "other")
    }


async def base_operations_are_not_implemented() -> object:
    """Contract 08, BaseChannelLayer: the seven operations raise NotImplementedError."""
    layer = BaseChannelLayer()
    return [
        await aoutcome(layer.send("a", {})),
        await aoutcome(layer.receive("a")),
        await aoutcome(layer.new_channel()),
        await aoutcome(layer.flush()),
        await aoutcome(layer.group_add("a", "b")),
        await aoutcome(layer.group_discard("a", "b")),
        await aoutcome(layer.group_send("a", {})),
    ]


# --- Sending and receiving


async def messages_come_in_order_once() -> object:
    """Contract 08, semantics: FIFO per channel, to one reader only."""
    layer = InMemoryChannelLayer()
    for n in range(5):
        await layer.send("a", {"n": n})
    return [await _takes(layer, "a", 5), await _take(layer, "a", MOMENT)]


async def values_survive_in_memory() -> object:
    """Contract 08, semantics: what a message may hold, a megabyte included."""
    layer = InMemoryChannelLayer()
    message = {
        "type": "t",
        "values": ["é", b"\x00\xff", 2**63 - 1, -(2**63), 1.5, True, None, [], {}, {"a": [1]}],
        "tuple": (1, 2),
    }
    await layer.send("a", message)
    await layer.send("b", {"big": "x" * 1_048_576})
    return [await _take(layer, "a"), len((await _take(layer, "b"))["big"])]


async def payloads_are_isolated() -> object:
    """Contract 08, memory layer [run]: neither the sender nor receivers share mutable state."""
    layer = InMemoryChannelLayer()
    message: Event = {"type": "t", "list": [1], "deep": {"list": [1]}}
    channels = [await layer.new_channel() for _ in range(2)]
    for channel in channels:
        await layer.group_add("room", channel)
    await layer.send("a", message)
    await layer.group_send("room", message)
    message["list"].append("changed by the sender")
    message["deep"]["list"].append("changed by the sender")
    first = await _take(layer, channels[0])
    first["list"].append("changed by a receiver")
    first["deep"]["list"].append("changed by a receiver")
    first["new"] = 1
    return [await _take(layer, "a"), await _take(layer, channels[1])]


async def bad_messages_to_send() -> object:
    """Contract 08, send [run]: non-dict, reserved key, what cannot be copied."""
    layer = InMemoryChannelLayer()
    messages: list[Any] = ["text", None, [("type", "t")], {"__asgi_channel__": "x"}]
    lock = threading.Lock()
    return {
        "send": [await aoutcome(layer.send("a", each)) for each in messages],
        "uncopyable": await aoutcome(layer.send("a", {"type": "t", "lock": lock})),
        "nothing was queued": await _take(layer, "a", MOMENT),
    }


async def bad_messages_to_a_group() -> object:
    """Contract 08, group send [run]: non-dict is an AssertionError, other errors propagate."""
    layer = InMemoryChannelLayer()
    channel = await layer.new_channel()
    await layer.group_add("room", channel)
    return [
        await aoutcome(layer.group_send("room", "text")),
        await aoutcome(layer.group_send("room", {"lock": threading.Lock()})),
        await aoutcome(layer.group_send("empty", "text")),
    ]


def checks_under_the_optimizer() -> object:
    """Contract 08, quirks: bad messages under ``python -O``."""
    code = """
        import asyncio
        from channels.layers import InMemoryChannelLayer
        async def main():
            layer = InMemoryChannelLayer()
            for message in ("text", {"__asgi_channel__": "x"}):
                try:
                    await layer.send("a", message)
                except Exception as error:
                    print(isinstance(error, AssertionError))
                else:
                    print("sent")
        asyncio.run(main())
    """
    command = [sys.executable, "-O", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    return done.stdout.split()


async def a_full_channel() -> object:
    """Contract 08, send: ChannelFull over capacity, per full name; the text names the channel."""
    layer = InMemoryChannelLayer(capacity=2)
    seen = [await aoutcome(layer.send("a", {"n": n})) for n in range(4)]
    own = [await aoutcome(layer.send("s!x", {"n": n})) for n in range(3)]
    other = await aoutcome(layer.send("s!y", {"n": 9}))
    await _take(layer, "a")
    return [
        seen,
        own,
        other,
        await aoutcome(layer.send("a", {"n": 9})),
        await _takes(layer, "a", 2),
    ]


async def receiving_waits() -> object:
    """Contract 08, receive: it waits for the next message."""
    layer = InMemoryChannelLayer()
    waiting = asyncio.ensure_future(layer.receive("a"))
    await asyncio.sleep(0.01)
    done = waiting.done()
    await layer.send("a", {"n": 1})
    return [done, await asyncio.wait_for(waiting, 1)]


async def specific_names_are_received_whole() -> object:
    """Contract 08, receive [run]: full specific names, a queue for each full name."""
    layer = InMemoryChannelLayer()
    await layer.send("specific.p!one", {"n": 1})
    await layer.send("specific.p!two", {"n": 2})
    return [await _take(layer, "specific.p!two"), await _take(layer, "specific.p!one")]


async def new_channel_names() -> object:
    """Contract 08, new_channel [run]: ``f"{prefix}.inmemory!{12 ASCII letters}"``, unique."""
    layer = InMemoryChannelLayer()
    default, other = await layer.new_channel(), await layer.new_channel("mine")
    names = {await layer.new_channel() for _ in range(100)}
    return [
        bool(re.fullmatch(r"specific\.\.inmemory![A-Za-z]{12}", default)),
        bool(re.fullmatch(r"mine\.inmemory![A-Za-z]{12}", other)),
        len(names),
        layer.require_valid_channel_name(default),
        layer.channels,
    ]


async def new_channel_names_and_the_seed() -> object:
    """Contract 08, quirks: names after reseeding the random module."""
    layer, names = InMemoryChannelLayer(), []
    for _ in range(2):
        random.seed(1)
        names.append(await layer.new_channel())
    return {"collide": names[0] == names[1]}


# --- Groups


async def groups_reach_every_member_once() -> object:
    """Contract 08, groups: idempotent add, discard without error, unknown group a no-op."""
    layer = InMemoryChannelLayer()
    for channel in ("a", "b", "b"):
        await layer.group_add("room", channel)
    await layer.group_discard("room", "absent")
    await layer.group_discard("no.such", "a")
    await layer.group_send("no.such", {"n": 0})
    await layer.group_send("room", {"n": 1})
    both = [await _take(layer, "a"), await _take(layer, "b"), await _take(layer, "b", MOMENT)]
    await layer.group_discard("room", "a")
    await layer.group_send("room", {"n": 2})
    return [both, await _take(layer, "a", MOMENT), await _take(layer, "b")]


async def full_members_are_skipped() -> object:
    """Contract 08, group_send: never ChannelFull; a full member is skipped, others are served."""
    layer = InMemoryChannelLayer(capacity=1)
    for channel in ("full", "free"):
        await layer.group_add("room", channel)
    await layer.send("full", {"n": 0})
    ended = await aoutcome(layer.group_send("room", {"n": 1}))
    return [
        ended,
        await _take(layer, "full"),
        await _take(layer, "full", MOMENT),
        await _take(layer, "free"),
    ]


async def groups_is_a_dict_of_dicts() -> object:
    """Contract 08, names: group → channel → join time; ``{}`` when all have left."""
    layer = InMemoryChannelLayer()
    before = time.time()
    await layer.group_add("room", "a")
    stamp = layer.groups["room"]["a"]
    seen = [
        sorted(layer.groups),
        list(layer.groups["room"]),
        "room" in layer.groups,
        isinstance(stamp, float) and before - 1 <= stamp <= time.time() + 1,
        len(layer.groups),
    ]
    await layer.group_discard("room", "a")
    return [seen, layer.groups == {}, layer.groups]


async def adding_again_refreshes_the_membership() -> object:
    """Contract 08, group_add: it refreshes the membership's age."""
    layer = InMemoryChannelLayer()
    await layer.group_add("room", "a")
    first = layer.groups["room"]["a"]
    await asyncio.sleep(0.01)
    await layer.group_add("room", "a")
    return layer.groups["room"]["a"] > first


async def flush_leaves_a_blank_state() -> object:
    """Contract 08, flush: no messages, no groups; the layer stays usable; ``close`` is a no-op."""
    layer = InMemoryChannelLayer()
    await layer.send("a", {"n": 1})
    await layer.group_add("room", "a")
    await layer.flush()
    empty = [layer.channels, layer.groups, await _take(layer, "a", MOMENT)]
    await layer.send("a", {"n": 2})
    await layer.close()
    return [empty, await _take(layer, "a")]


# --- The channels dict


async def a_waiting_consumer_has_its_key() -> object:
    """Contract 08, names: a channel with a waiter is in ``channels``; cancelled, it is gone."""
    layer = InMemoryChannelLayer()
    waiting = asyncio.ensure_future(layer.receive("a!b"))
    await asyncio.sleep(0.01)
    seen = [list(layer.channels), "a!b" in layer.channels, len(layer.channels)]
    waiting.cancel()
    await aoutcome(waiting)
    return [seen, list(layer.channels)]


async def channels_disappear_when_empty() -> object:
    """Contract 08, emptiness: gone after the last message; a partly drained one stays."""
    layer = InMemoryChannelLayer()
    for n in range(2):
        await layer.send("a", {"n": n})
    seen = [list(layer.channels)]
    await _take(layer, "a")
    seen.append(list(layer.channels))
    await _take(layer, "a")
    seen.append(list(layer.channels))
    return seen


async def channels_can_be_deleted() -> object:
    """Contract 08, names: ``del layer.channels[name]`` drops what is queued there."""
    layer = InMemoryChannelLayer()
    await layer.send("a", {"n": 1})
    del layer.channels["a"]
    gone = await _take(layer, "a", MOMENT)
    await layer.send("a", {"n": 2})
    return [gone, await _take(layer, "a")]


async def deleting_the_key_of_a_waiting_receiver() -> object:
    """Contract 08, names: a message queued for a waiter is not lost by deleting the key."""
    layer = InMemoryChannelLayer()
    waiting = asyncio.ensure_future(layer.receive("a"))
    await asyncio.sleep(0.01)
    await layer.send("a", {"n": 1})
    del layer.channels["a"]
    return await asyncio.wait_for(aoutcome(waiting), 1)


async def remove_from_groups() -> object:
    """Contract 08, names: ``_remove_from_groups(channel)`` is a sync helper."""
    layer = InMemoryChannelLayer()
    for group in ("one", "two"):
        await layer.group_add(group, "a")
        await layer.group_add(group, "b")
    layer._remove_from_groups("a")
    return {group: sorted(members) for group, members in layer.groups.items()}


# --- Expiry


async def unread_messages_expire() -> object:
    """Contract 08, semantics: unread messages go after ``expiry``; the channel disappears."""
    layer = InMemoryChannelLayer(expiry=MOMENT)
    await layer.send("a", {"n": 1})
    await asyncio.sleep(2 * MOMENT)
    return [await _take(layer, "a", MOMENT), len(layer.channels)]


async def clean_expired_works_at_once() -> object:
    """Contract 08, names: ``_clean_expired()`` drops what has expired, at once."""
    layer = InMemoryChannelLayer(expiry=MOMENT)
    await layer.send("a", {"n": 1})
    await asyncio.sleep(2 * MOMENT)
    layer._clean_expired()
    return await _take(layer, "a", MOMENT)


async def a_full_channel_of_expired_messages() -> object:
    """Contract 08, quirks: ``send`` to a channel full of expired messages."""
    layer = InMemoryChannelLayer(expiry=MOMENT, capacity=1)
    await layer.send("a", {"n": 1})
    await asyncio.sleep(2 * MOMENT)
    return await aoutcome(layer.send("a", {"n": 2}))


async def memberships_expire() -> object:
    """Contract 08, cleaning: memberships older than ``group_expiry``; and those of a consumer."""
    layer = InMemoryChannelLayer(group_expiry=1)
    channel_layers.backends["default"] = layer

    class Member(AsyncWebsocketConsumer):
        groups = ["room"]

        async def say(self, event: Event) -> None:
            await self.send("said")

    async with Connection(Member()) as connection:
        connection.feed(CONNECT)
        await connection.sent(1)
        await layer.group_add("other", "nobody.waits")
        await asyncio.sleep(2.1)
        await layer.group_send("room", {"type": "say"})
        await layer.group_send("other", {"n": 1})
        await asyncio.sleep(MOMENT)
        return {
            "a live consumer": connection.outputs[1:],
            "nobody waits": await _take(layer, "nobody.waits", MOMENT),
        }


async def a_channel_that_lost_a_message_leaves_its_groups() -> object:
    """Contract 08, cleaning [run]: a channel losing a message to expiry leaves all groups."""
    layer = InMemoryChannelLayer(expiry=MOMENT)
    await layer.group_add("room", "a")
    await layer.send("a", {"n": 1})
    await asyncio.sleep(2 * MOMENT)
    await layer.group_send("room", {"n": 2})
    return await _take(layer, "a", MOMENT)


# --- Several waiters, threads and loops


async def two_waiters_on_one_channel() -> object:
    """Contract 08, quirks [run]: the first waiter is served; does the second one still hear?"""
    layer = InMemoryChannelLayer()
    waiters = [asyncio.ensure_future(layer.receive("a")) for _ in range(2)]
    await asyncio.sleep(0.01)
    await layer.send("a", {"n": 1})
    await asyncio.sleep(0.01)
    await layer.send("a", {"n": 2})
    done, pending = await asyncio.wait(waiters, timeout=2 * MOMENT)
    for task in pending:
        task.cancel()
    return sorted(task.result()["n"] for task in done)


async def a_cancelled_waiter_beside_another() -> object:
    """Contract 08, quirks [run]: one of two waiters is cancelled; does the other still hear?"""
    layer = InMemoryChannelLayer()
    waiters = [asyncio.ensure_future(layer.receive("a")) for _ in range(2)]
    await asyncio.sleep(0.01)
    waiters[0].cancel()
    await asyncio.sleep(0.01)
    await layer.send("a", {"n": 1})
    done, pending = await asyncio.wait(waiters[1:], timeout=2 * MOMENT)
    for task in pending:
        task.cancel()
    return [task.result() for task in done]


async def a_cancelled_receive_loses_no_message() -> object:
    """Contract 08, semantics: a receive that is cancelled leaves later messages alone."""
    layer = InMemoryChannelLayer()
    await _take(layer, "a", 0.01)
    await layer.send("a", {"n": 1})
    return await _take(layer, "a")


async def sending_from_another_thread() -> object:
    """Contract 08, quirks [run]: a send from another thread and loop wakes the receiver soon."""
    layer = InMemoryChannelLayer()
    waiting = asyncio.ensure_future(layer.receive("a"))
    await asyncio.sleep(0.01)

    def send() -> None:
        time.sleep(MOMENT)
        async_to_sync(layer.send)("a", {"n": 1})

    sender = threading.Thread(target=send)
    started = time.monotonic()
    sender.start()
    # Nothing else happens in this loop, so only a real wake-up ends the wait early.
    await asyncio.wait([waiting], timeout=0.5)
    waited = time.monotonic() - started
    sender.join()
    waiting.cancel()
    return {"woken": waited < 0.45}


def one_layer_in_several_loops() -> object:
    """Contract 08, memory layer: usable without a running loop, and from one loop after another."""
    layer = InMemoryChannelLayer()
    for n in range(3):
        async_to_sync(layer.send)("a", {"n": n})
    return [asyncio.run(_take(layer, "a")) for _ in range(3)]


async def many_members() -> object:
    """Contract 08, group send: a large group; each member receives its own copy once."""
    layer = InMemoryChannelLayer()
    channels = [await layer.new_channel() for _ in range(200)]
    for channel in channels:
        await layer.group_add("room", channel)
    await layer.group_send("room", {"type": "t", "list": []})
    received = [await _take(layer, channel) for channel in channels]
    identities = {id(message["list"]) for message in received}
    return [len(received), len(identities), received[0], layer.channels]


def channel_full_is_raised_bare() -> object:
    """Contract 08 and 10: third-party layers raise ``ChannelFull()`` and ``ChannelFull(name)``."""
    return [str(ChannelFull("a.b")) != "", isinstance(ChannelFull(), Exception)]

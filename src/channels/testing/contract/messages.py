"""What messages may carry, and names."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from channels.testing.contract.base import LayerContract, new_name, tick

PLAIN_VALUES: list[Any] = [
    "",
    "text with \N{SNOWMAN}, \N{PILE OF POO}, \0 and \n",
    b"",
    b"\x00\xff bytes",
    0,
    -(2**63),
    2**63 - 1,
    1.5,
    -0.0,
    float("inf"),
    True,
    False,
    None,
    [],
    [1, "two", b"three", None, [4.0, [True]]],
    {},
    {"a": {"b": {"c": [{"d": None}]}}, "e": [1]},
]
BAD_NAMES: list[Any] = [
    "",
    "with space",
    "with\nnewline",
    "trailing newline\n",
    "newline\n",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "slash/",
    "question?",
    "x" * 100,
    b"bytes",
    None,
    1,
]
BAD_CHANNEL_NAMES: list[Any] = [*BAD_NAMES, "!x", "!", "a!b!c", "a!b c", "a!\N{SNOWMAN}", "a!b\n"]
BAD_GROUP_NAMES: list[Any] = [*BAD_NAMES, "a!b"]


class MessageContract(LayerContract):
    """A message arrives as it was sent, and is the receiver's own."""

    @pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
    async def test_a_value_arrives_as_it_was_sent(self, layer: Any, value: Any) -> None:
        group, channel = new_name("group"), await layer.new_channel()
        await layer.group_add(group, channel)

        await layer.send(channel, tick(value))
        await layer.group_send(group, tick(value))

        for received in await self.receive_many(layer, channel, 2):
            # Their representations tell True from 1, and 0.0 from -0.0.
            assert repr(received) == repr(value)

    async def test_a_message_of_a_megabyte_arrives(self, layer: Any) -> None:
        channel = await layer.new_channel()
        sent = {"text": "x" * 500_000, "data": bytes(500_000)}

        await layer.send(channel, tick(sent))

        assert await self.receive(layer, channel) == sent

    async def test_sender_and_receivers_share_nothing_that_can_change(self, layer: Any) -> None:
        group = new_name("group")
        members = [await layer.new_channel() for _ in range(3)]
        for member in members:
            await layer.group_add(group, member)
        value = {"list": [1, {"deep": [2]}], "plain": "text"}
        expected = copy.deepcopy(value)

        await layer.group_send(group, tick(value))
        await layer.send(members[0], tick(value))
        _spoil(value)

        for member in [*members, members[0]]:
            received = await self.receive(layer, member)
            assert received == expected
            _spoil(received)


class NameContract(LayerContract):
    """Bad names are refused, in the layer's own words."""

    @pytest.mark.parametrize("name", BAD_CHANNEL_NAMES, ids=repr)
    async def test_a_bad_channel_name_is_refused(self, layer: Any, name: Any) -> None:
        group = new_name("group")

        for attempt in (
            lambda: layer.send(name, tick(1)),
            lambda: layer.receive(name),
            lambda: layer.group_add(group, name),
            lambda: layer.group_discard(group, name),
        ):
            await _require_refusal(attempt, layer.invalid_name_error.format("Channel"))

    @pytest.mark.parametrize("name", BAD_GROUP_NAMES, ids=repr)
    async def test_a_bad_group_name_is_refused(self, layer: Any, name: Any) -> None:
        channel = await layer.new_channel()

        for attempt in (
            lambda: layer.group_send(name, tick(1)),
            lambda: layer.group_add(name, channel),
            lambda: layer.group_discard(name, channel),
        ):
            await _require_refusal(attempt, layer.invalid_name_error.format("Group"))

    @pytest.mark.parametrize("length", [1, 99])
    async def test_names_have_1_to_99_characters_of_every_legal_kind(
        self, layer: Any, length: int
    ) -> None:
        name = (f"aZ0-_.{uuid.uuid4().hex}" * 4)[-length:]

        await layer.group_add(name, name)
        await layer.group_send(name, tick(1))

        assert await self.receive(layer, name) == 1


async def _require_refusal(attempt: Callable[[], Any], text: str) -> None:
    with pytest.raises(TypeError) as raised:
        await attempt()
    assert str(raised.value) == text


def _spoil(value: dict[str, Any]) -> None:
    value["list"][1]["deep"].append("spoiled")
    value["list"].append("spoiled")
    value["plain"] = "spoiled"

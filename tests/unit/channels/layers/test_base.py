"""What every layer inherits: names, capacities, deprecated forwards, and what it must write."""

from __future__ import annotations

import re
from typing import Any

import pytest

from channels._core.names import INVALID_NAME
from channels.exceptions import ChannelFull, InvalidNameError, MessageTooLarge
from channels.layers import BaseChannelLayer, InMemoryChannelLayer
from channels.layers.base import AttachingLayer, has_inboxes
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

GROUP_TEXT = INVALID_NAME.format("Group")
CHANNEL_TEXT = INVALID_NAME.format("Channel")
BAD_NAMES = ["", "a b", "a" * 100, "a\n", "line\nbreak", "ä", "a/b", "a?b", b"bytes", 7, None]


@pytest.fixture
def layer() -> BaseChannelLayer:
    return BaseChannelLayer()


def test_the_defaults_are_upstreams(layer: BaseChannelLayer) -> None:
    assert (layer.expiry, layer.capacity, layer.channel_capacity) == (60, 100, [])
    assert layer.extensions == []
    assert layer.MAX_NAME_LENGTH == 100
    assert layer.ChannelFull is ChannelFull
    assert layer.MessageTooLarge is MessageTooLarge


def test_options_are_kept() -> None:
    layer = BaseChannelLayer(1, 2, {"jobs.*": 3})

    assert (layer.expiry, layer.capacity) == (1, 2)
    assert [capacity for _, capacity in layer.channel_capacity] == [3]


@pytest.mark.parametrize("name", ["a", "a" * 99, "chat.room-1_x", "0", "..", "-"])
def test_a_good_name_is_true_for_groups_and_channels(layer: BaseChannelLayer, name: str) -> None:
    assert layer.require_valid_group_name(name) is True
    assert layer.require_valid_channel_name(name) is True


@pytest.mark.parametrize("name", ["a!", "a!b", "specific..inmemory!abc"])
def test_a_channel_may_be_of_one_process_and_a_group_not(
    layer: BaseChannelLayer, name: str
) -> None:
    assert layer.require_valid_channel_name(name) is True
    with pytest.raises(InvalidNameError, match=f"^{re.escape(GROUP_TEXT)}$"):
        layer.require_valid_group_name(name)


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_bad_name_is_refused_in_words_that_say_what_is_allowed(
    layer: BaseChannelLayer, name: Any
) -> None:
    for check, text in (
        (layer.require_valid_group_name, GROUP_TEXT),
        (layer.require_valid_channel_name, CHANNEL_TEXT),
    ):
        with pytest.raises(TypeError) as caught:
            check(name)
        assert str(caught.value) == text
        assert isinstance(caught.value, InvalidNameError)
        assert caught.value.name == name


@pytest.mark.parametrize(
    ("name", "is_good"), [("a", True), ("a!", True), ("a!b", False), ("a!b!", False)]
)
def test_a_name_to_receive_from_ends_at_its_mark(
    layer: BaseChannelLayer, name: str, is_good: bool
) -> None:
    if is_good:
        assert layer.require_valid_channel_name(name, receive=True) is True
    else:
        with pytest.raises(InvalidNameError):
            layer.require_valid_channel_name(name, receive=True)


def test_a_subclass_may_allow_longer_names_or_other_characters() -> None:
    class Wide(BaseChannelLayer):
        MAX_NAME_LENGTH = 200
        group_name_regex = re.compile(r"\A[a-z/]+\Z")
        invalid_name_error = "bad {}"

    layer = Wide()

    assert layer.require_valid_group_name("a/" * 60) is True
    with pytest.raises(TypeError, match=r"^bad Group$"):
        layer.require_valid_group_name("A")


@pytest.mark.parametrize(
    ("name", "is_short_string"), [("a" * 99, True), ("a" * 100, False), (7, False), (b"a", False)]
)
def test_a_name_is_a_short_string(
    layer: BaseChannelLayer, name: object, is_short_string: bool
) -> None:
    assert layer.match_type_and_length(name) is is_short_string


def test_a_list_of_names_is_checked_one_by_one(layer: BaseChannelLayer) -> None:
    assert layer.valid_channel_names(["a", "b!"], receive=True) is True
    with pytest.raises(InvalidNameError):
        layer.valid_channel_names(["a", "b c"])
    with pytest.raises(InvalidNameError):
        layer.valid_channel_names(["a!b"], receive=True)


@pytest.mark.parametrize("names", [[], (), ("a",), "a", None])
def test_anything_but_a_list_with_something_in_it_is_refused(
    layer: BaseChannelLayer, names: Any
) -> None:
    with pytest.raises(AssertionError) as caught:
        layer.valid_channel_names(names)

    assert str(caught.value) == f"expected a non-empty list of channel names, not {names!r}"


def test_the_non_local_name_ends_at_the_mark(layer: BaseChannelLayer) -> None:
    assert layer.non_local_name("a.b!c") == "a.b!"
    assert layer.non_local_name("a.b") == "a.b"


@pytest.mark.parametrize(
    ("old", "good", "bad"),
    [("valid_channel_name", "a!b", "a b"), ("valid_group_name", "a", "a!b")],
)
def test_an_old_name_warns_and_forwards(
    layer: BaseChannelLayer, old: str, good: str, bad: str
) -> None:
    text = f"{old} is deprecated, use require_{old} instead."
    with pytest.warns(DeprecationWarning, match=f"^{text}$") as caught:
        assert getattr(layer, old)(good) is True
    assert caught[0].filename == __file__

    with pytest.warns(DeprecationWarning, match=text), pytest.raises(TypeError):
        getattr(layer, old)(bad)


def test_the_old_channel_check_ignores_receive(layer: BaseChannelLayer) -> None:
    with pytest.warns(DeprecationWarning, match="valid_channel_name"):
        assert layer.valid_channel_name("a!b", receive=True) is True


class OddNames:
    """Anything with ``match`` is a pattern."""

    def match(self, name: str) -> bool:
        return len(name) % 2 == 1


def test_the_first_pattern_that_matches_the_full_name_decides_the_capacity() -> None:
    layer = BaseChannelLayer(
        capacity=9,
        channel_capacity={"jobs.*": 1, re.compile(r"^http\.request\!"): 2, OddNames(): 3},
    )

    assert layer.get_capacity("jobs.mail") == 1
    assert layer.get_capacity("http.request!abc") == 2
    assert layer.get_capacity("odd") == 3
    assert layer.get_capacity("even") == 9
    assert layer.get_capacity("my.jobs.") == 9


def test_a_glob_matches_the_whole_name() -> None:
    [(pattern, capacity)] = BaseChannelLayer().compile_capacities({"jobs.?": 5})

    assert capacity == 5
    assert pattern.match("jobs.a")
    assert not pattern.match("jobs.ab")


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("send", ("a", {}), "send() should be implemented by the channel layer"),
        ("receive", ("a",), "receive() should be implemented by the channel layer"),
        ("new_channel", (), "new_channel() should be implemented by the channel layer"),
        ("flush", (), "flush() not implemented (flush extension)"),
        ("group_add", ("a", "b"), "group_add() not implemented (groups extension)"),
        ("group_discard", ("a", "b"), "group_discard() not implemented (groups extension)"),
        ("group_send", ("a", {}), "group_send() not implemented (groups extension)"),
    ],
)
async def test_what_a_layer_must_write_is_named(
    layer: BaseChannelLayer, method: str, arguments: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(NotImplementedError) as caught:
        await getattr(layer, method)(*arguments)

    assert str(caught.value) == text


def test_a_layer_that_hands_messages_to_inboxes_is_known_by_its_methods() -> None:
    assert isinstance(InMemoryChannelLayer(), AttachingLayer)
    assert not isinstance(BaseChannelLayer(), AttachingLayer)


def test_a_subclass_may_skip_the_constructor() -> None:
    class Careless(BaseChannelLayer):
        def __init__(self) -> None:
            pass

    assert Careless().require_valid_group_name("room") is True


@pytest.mark.parametrize(
    "bundled", [InMemoryChannelLayer, RedisChannelLayer, RedisPubSubChannelLayer]
)
def test_consumers_have_inboxes_unless_somebody_else_receives(bundled: Any) -> None:
    class Renamed(bundled):  # type: ignore[misc] # any of them
        pass

    class Receiving(bundled):  # type: ignore[misc] # any of them
        async def receive(self, channel: str) -> Any:
            return await super().receive(channel)

    spied = bundled()
    spied.receive = lambda channel: None

    assert [has_inboxes(each) for each in (bundled(), Renamed())] == [True, True]
    assert [has_inboxes(each) for each in (Receiving(), spied)] == [False, False]


def test_a_layer_without_attach_has_no_inboxes(layer: BaseChannelLayer) -> None:
    assert not has_inboxes(layer)
    assert not has_inboxes(object())

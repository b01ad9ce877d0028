"""The tree of exceptions: old names on their old bases, signals apart, sentences from data."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from channels import exceptions
from channels.exceptions import (
    AcceptConnection,
    ChannelFull,
    ChannelsError,
    ConsumerSignal,
    DenyConnection,
    IllegalEventError,
    InvalidChannelLayerError,
    InvalidFrameError,
    InvalidNameError,
    MalformedJSONError,
    MessageTooLarge,
    NoHandlerError,
    NoRouteError,
    PeerError,
    PeerGoneError,
    RequestAborted,
    RequestTimeout,
    StopConsumer,
    UnknownTopicError,
)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (RequestAborted, Exception),
        (RequestTimeout, RequestAborted),
        (InvalidChannelLayerError, ValueError),
        (AcceptConnection, Exception),
        (DenyConnection, Exception),
        (ChannelFull, Exception),
        (MessageTooLarge, Exception),
        (StopConsumer, Exception),
    ],
)
def test_a_name_of_old_keeps_its_base_and_needs_no_arguments(
    error: type[Exception], base: type[Exception]
) -> None:
    raised = error()

    assert isinstance(raised, base)
    assert str(raised) == ""


@pytest.mark.parametrize(
    ("error", "base", "close_code"),
    [
        (ChannelsError, Exception, 1011),
        (IllegalEventError, RuntimeError, 1011),
        (NoHandlerError, ValueError, 1011),
        (InvalidFrameError, ValueError, 1003),
        (MalformedJSONError, json.JSONDecodeError, 1007),
        (NoRouteError, ValueError, 1008),
        (InvalidChannelLayerError, ValueError, 1011),
        (InvalidNameError, TypeError, 1011),
        (ChannelFull, Exception, 1013),
        (MessageTooLarge, Exception, 1009),
    ],
)
def test_every_error_is_of_one_tree_and_knows_its_close_code(
    error: type[ChannelsError], base: type[Exception], close_code: int
) -> None:
    assert issubclass(error, ChannelsError)
    assert issubclass(error, base)
    assert error.close_code == close_code


@pytest.mark.parametrize("signal", [AcceptConnection, DenyConnection, StopConsumer])
def test_a_signal_is_not_an_error(signal: type[Exception]) -> None:
    assert issubclass(signal, ConsumerSignal)
    assert not issubclass(signal, ChannelsError)


def test_the_tree_at_the_top_of_the_module_names_every_class() -> None:
    drawn = set(re.findall(r"``(\w+)``", exceptions.__doc__ or ""))
    defined = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }

    assert defined <= drawn


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ChannelFull(), ""),
        (ChannelFull("thumbs"), "channel 'thumbs' is full"),
        (ChannelFull("thumbs", 5), "channel 'thumbs' already holds 5 messages, its capacity"),
        (IllegalEventError(), ""),
        (
            IllegalEventError("websocket.send", state="CLOSED", expected="nothing"),
            "'websocket.send' is not allowed while the socket is CLOSED; expected nothing",
        ),
        (InvalidNameError("as it is", name="a b"), "as it is"),
    ],
)
def test_the_sentence_is_composed_from_the_data(error: Exception, text: str) -> None:
    assert str(error) == text


def test_the_data_stays_on_the_error() -> None:
    full = ChannelFull("thumbs", 5)
    order = IllegalEventError("websocket.send", state="CLOSED")
    name = InvalidNameError("no", name=7)

    assert (full.channel, full.capacity) == ("thumbs", 5)
    assert (order.event_type, order.state) == ("websocket.send", "CLOSED")
    assert name.name == 7


@pytest.mark.parametrize(
    ("denial", "code", "reason", "args"),
    [
        (DenyConnection(), None, None, ()),
        (DenyConnection(4001), 4001, None, (4001,)),
        (DenyConnection(4001, "no"), 4001, "no", (4001, "no")),
        (DenyConnection(4001, reason="no"), 4001, "no", (4001, "no")),
        (DenyConnection(reason="no"), None, "no", ("no",)),
        (DenyConnection(code=4001), 4001, None, (4001,)),
    ],
)
def test_a_refusal_may_carry_a_code_and_a_reason(
    denial: DenyConnection, code: int | None, reason: str | None, args: tuple[object, ...]
) -> None:
    assert (denial.code, denial.reason, denial.args) == (code, reason, args)


@pytest.mark.parametrize(
    "args", [("Invalid user",), (True,), (4001.0,), (None,), ("room", "full", 4001), ({"a": 1},)]
)
def test_what_is_no_code_stays_on_a_refusal_and_is_not_for_the_client(
    args: tuple[object, ...],
) -> None:
    denial = DenyConnection(*args)

    assert (denial.code, denial.reason, denial.args) == (None, None, args)


def test_a_refusal_takes_more_than_a_code_and_a_reason() -> None:
    denial = DenyConnection(4001, "no", "because")

    assert (denial.code, denial.reason, denial.args) == (4001, "no", (4001, "no", "because"))


def pickled(error: Exception) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - its own


@pytest.mark.parametrize(
    "error",
    [
        ChannelFull("thumbs"),
        ChannelFull("thumbs", 5),
        ChannelFull("thumbs", 5, "more"),
        IllegalEventError("websocket.send", state="CLOSED", expected="nothing"),
        InvalidNameError("as it is", name="a b"),
        MalformedJSONError("no value", "{", 1),
        PeerError(1009, "too long", limit="max_size"),
        PeerGoneError(32, "Broken pipe"),
        UnknownTopicError("room", ["chat.{room}"]),
        DenyConnection(4001, "no"),
    ],
)
@pytest.mark.parametrize("duplicate", [copy.copy, pickled])
def test_a_copy_says_the_same(error: Exception, duplicate: Callable[[Any], Any]) -> None:
    copied = duplicate(error)

    assert type(copied) is type(error)
    assert (str(copied), copied.args, vars(copied)) == (str(error), error.args, vars(error))


def test_a_full_channel_takes_more_than_its_name_and_capacity() -> None:
    assert ChannelFull("thumbs", 5, "more").args[1:] == ("more",)

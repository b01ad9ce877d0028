"""Where limits come from, and the bucket of tokens."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import uvicorn
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from channels.conf import ChannelsSettings
from channels.server.limits import Limits, TokenBucket, limits_of


def limits(**options: Any) -> Limits:
    return limits_of(uvicorn.Config("app:app", **options))


def test_the_defaults_are_those_of_the_settings() -> None:
    seen, defaults = limits(), ChannelsSettings()

    for name in set(Limits._fields) - {"grace", "has_deflate"}:
        assert getattr(seen, name) == getattr(defaults, name)
    assert seen.grace == defaults.disconnect_grace
    assert seen.has_deflate


def test_settings_are_read() -> None:
    with override_settings(CHANNELS={"MAX_FRAME_BYTES": 10, "PING_INTERVAL": None}):
        seen = limits()

    assert (seen.max_frame_bytes, seen.max_message_bytes) == (10, 2**20)
    assert seen.ping_interval is None


def test_a_frame_is_never_larger_than_a_message() -> None:
    with override_settings(CHANNELS={"MAX_MESSAGE_BYTES": 10}):
        assert limits().max_frame_bytes == 10


@pytest.mark.parametrize(
    ("given_to_uvicorn", "message", "frame"),
    [(5000, 5000, 5000), ((5000, 100), 5000, 100), (0, sys.maxsize, sys.maxsize)],
)
def test_an_option_given_to_uvicorn_goes_first(
    given_to_uvicorn: Any, message: int, frame: int
) -> None:
    with override_settings(CHANNELS={"MAX_FRAME_BYTES": 10, "PING_TIMEOUT": 7}):
        seen = limits(ws_max_size=given_to_uvicorn, ws_ping_interval=3.0)

    assert (seen.max_message_bytes, seen.max_frame_bytes) == (message, frame)
    assert (seen.ping_interval, seen.ping_timeout) == (3.0, 7)


def test_uvicorn_s_zero_and_none_switch_pings_off() -> None:
    assert limits(ws_ping_interval=None).ping_interval is None
    assert limits(ws_ping_interval=0).ping_interval is None


def test_uvicorn_s_switch_of_deflate_counts() -> None:
    assert not limits(ws_per_message_deflate=False).has_deflate


def test_limits_are_read_once_for_each_configuration() -> None:
    config = uvicorn.Config("app:app")

    assert limits_of(config) is limits_of(config)


def test_a_bucket_allows_a_second_s_worth_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(2, 0)

    assert [bucket.take(0), bucket.take(0), bucket.take(0)] == [True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100), bucket.take(100), bucket.take(100)] == [True, True, False]


def test_a_rate_below_one_a_second_allows_one_at_once() -> None:
    bucket = TokenBucket(0.1, 0)

    assert [bucket.take(0), bucket.take(9), bucket.take(19.01)] == [True, False, True]


@given(st.floats(0.5, 100), st.lists(st.floats(0, 1), min_size=1, max_size=200).map(sorted))
def test_no_second_has_more_than_twice_the_rate(rate: float, times: list[float]) -> None:
    bucket = TokenBucket(rate, 0)

    taken = sum(bucket.take(now) for now in times)

    assert taken <= max(1, rate) + rate

"""Which connections a signal ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils.functional import SimpleLazyObject

from channels.topics.ending import Ended, Holders, ended_session, ended_user
from channels.topics.engine import Engine
from channels.topics.session import Limits, Session
from channels.topics.site import here

pytestmark = pytest.mark.usefixtures("fresh_layer")


@pytest.fixture
def holders() -> Holders:
    holders = Holders()
    holders.note("a", user="1", session="x")
    holders.note("b", user="1", session="y")
    holders.note("c", user=None, session="y")
    return holders


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (Ended(user="1"), {"a", "b"}),
        (Ended(session="y"), {"b", "c"}),
        (Ended(user="1", session="y"), {"a", "b", "c"}),
        (Ended(user="2"), set()),
        (Ended(), set()),
    ],
)
def test_a_signal_names_connections_by_user_and_session(
    holders: Holders, ended: Ended, expected: set[str]
) -> None:
    assert holders.named_by(ended) == expected


def test_a_connection_has_the_user_that_was_noted_last(holders: Holders) -> None:
    holders.note("a", user="2", session="x")

    assert holders.named_by(Ended(user="1")) == {"b"}
    assert holders.named_by(Ended(user="2")) == {"a"}


def test_what_is_forgotten_leaves_nothing_behind(holders: Holders) -> None:
    for channel in ("a", "b", "c", "c", "unknown"):
        holders.forget(channel)

    assert holders.named_by(Ended(user="1", session="y")) == set()
    assert not any(vars(holders).values())


@pytest.mark.parametrize("ended", [Ended(), ended_session("key"), ended_user(User(pk=7))])
def test_a_signal_comes_out_as_it_went_in(ended: Ended) -> None:
    assert Ended.unpack(ended.pack()) == ended


def new_session(engine: Engine, *, channel: str, user: Any) -> Session:
    async def nothing(*args: Any) -> Any:
        return None

    return Session(
        engine, channel, {"type": "websocket", "user": user},
        send=nothing, close=nothing, clean_up=nothing, authenticate=nothing, limits=Limits(),
    )  # fmt: skip


async def test_a_user_that_cannot_be_loaded_leaves_no_connection_behind() -> None:
    engine = here()

    with pytest.raises(ZeroDivisionError):
        new_session(engine, channel="channel", user=SimpleLazyObject(lambda: 1 // 0))

    assert engine.connections == {}


async def test_a_signal_is_heard_by_the_connections_of_its_user_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    signalled = Session.signalled
    monkeypatch.setattr(
        Session, "signalled", lambda one, what: heard.append(one.channel) or signalled(one, what)
    )
    engine = here()
    sessions = [
        new_session(engine, channel=f"channel{n}", user=User(pk=n % 100)) for n in range(200)
    ]

    engine.signalled(ended_user(User(pk=7)).pack())
    await asyncio.sleep(0)

    assert sorted(heard) == ["channel107", "channel7"]
    assert len(engine.connections) == 198
    for session in sessions:
        session.end()

"""What a client asks for over one connection, and what it is answered."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from channels.publish import aforget, apublish
from channels.topics import (
    Identity,
    Limits,
    Presence,
    Refused,
    Reliable,
    Topic,
    TopicConsumer,
    call,
)
from channels.topics import session as session_module
from channels.topics.session import Session
from channels.topics.site import here
from tests.slow import SLOW
from tests.unit.channels.topics.conftest import Client

pytestmark = pytest.mark.usefixtures("fresh_layer")


async def test_the_server_answers_hello_with_what_a_client_must_know(room: Any) -> None:
    client = Client()

    answer = await client.connect(client="page-1")

    assert answer == {
        "type": "hello",
        "version": 1,
        "client": "page-1",
        "ping": 25.0,
        "max_bytes": 65_536,
    }
    await client.socket.disconnect()


async def test_a_client_without_an_id_is_given_one() -> None:
    client = Client()

    answer = await client.connect()

    assert len(answer["client"]) == 16
    await client.socket.disconnect()


async def test_the_first_frame_must_be_hello() -> None:
    client = Client()
    await client.socket.connect()

    answer = await client.ask(type="subscribe", topic="room.1")

    assert (answer["code"], answer["message"]) == (
        "expected_hello",
        "the first frame must be hello",
    )
    await client.socket.disconnect()


async def test_hello_is_said_once(join: Any) -> None:
    client = await join()

    await client.send(type="hello")

    assert (await client.receive())["message"] == "hello is the first frame, and the only one"


async def test_another_subprotocol_is_told_what_is_expected() -> None:
    client = Client()
    client.socket.scope["subprotocols"] = ["graphql-ws"]

    assert (await client.socket.connect())[0]

    closed = await client.socket.receive_output()
    assert (closed["code"], closed["reason"]) == (3400, "expected subprotocol channels.topics.v1")


async def test_a_subscriber_gets_what_is_published(join: Any, room: Any) -> None:
    client = await join()
    answer = await client.subscribe("room.7")
    epoch = answer["position"].partition(":")[0]

    position = await apublish("room.7", {"text": "hi"})

    assert answer == {
        "type": "subscribed",
        "id": 1,
        "topic": "room.7",
        "position": f"{epoch}:0",
        "recovered": False,
        "publications": [],
    }
    assert str(position) == f"{epoch}:1"
    assert await client.receive() == {
        "type": "publication",
        "topic": "room.7",
        "offset": 1,
        "data": {"text": "hi"},
    }


async def test_a_volatile_topic_has_no_positions(join: Any, prices: Any) -> None:
    client = await join()
    answer = await client.subscribe("prices.ACME", recent=5)

    position = await apublish("prices.ACME", 5)

    assert position is None
    assert answer == {"type": "subscribed", "id": 1, "topic": "prices.ACME", "publications": []}
    assert await client.receive() == {"type": "publication", "topic": "prices.ACME", "data": 5}


async def test_a_client_gets_all_since_its_position(join: Any, room: Any) -> None:
    positions = [str(await apublish("room.7", n)) for n in range(1, 5)]
    client = await join()

    answer = await client.subscribe("room.7", position=positions[1])

    assert answer["recovered"] is True
    assert answer["position"] == positions[3]
    assert answer["publications"] == [{"offset": 3, "data": 3}, {"offset": 4, "data": 4}]


async def test_without_a_position_a_client_gets_the_latest_it_asks_for(
    join: Any, room: Any
) -> None:
    for n in range(1, 9):
        await apublish("room.7", n)
    client = await join()

    latest = await client.subscribe("room.7", recent=2)
    all_kept = await client.subscribe("room.7", recent=100)

    assert [each["data"] for each in latest["publications"]] == [7, 8]
    assert [each["data"] for each in all_kept["publications"]] == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("position", "gap"),
    [("{epoch}:2", "trimmed"), ("other:2", "epoch"), ("{epoch}:9", "future")],
)
async def test_what_cannot_be_replayed_is_a_gap(
    join: Any, room: Any, position: str, gap: str
) -> None:
    for n in range(1, 9):
        found = await apublish("room.7", n)
    client = await join()

    answer = await client.subscribe("room.7", position=position.format(epoch=found.epoch), recent=1)

    assert (answer["recovered"], answer["gap"]) == (False, gap)
    assert answer["position"] == str(found)
    assert answer["publications"] == [{"offset": 8, "data": 8}]


async def test_to_subscribe_again_recovers_and_doubles_nothing(join: Any, room: Any) -> None:
    client = await join()
    answer = await client.subscribe("room.7")
    await apublish("room.7", 1)
    await client.receive()

    again = await client.subscribe("room.7", position=answer["position"])
    await apublish("room.7", 2)

    assert again["publications"] == [{"offset": 1, "data": 1}]
    assert (await client.receive())["data"] == 2
    assert await client.receives_nothing()


async def test_a_topic_that_is_forgotten_is_a_gap_for_those_who_have_it(
    join: Any, room: Any
) -> None:
    client = await join()
    await apublish("room.7", 1)
    await client.subscribe("room.7")

    await aforget("room.7")
    position = await apublish("room.7", "first")

    assert await client.receive() == {
        "type": "gap",
        "topic": "room.7",
        "position": str(position),
        "reason": "epoch",
    }


async def test_a_publication_that_excludes_a_client_moves_it_on(join: Any, room: Any) -> None:
    one, other = await join(hello={"client": "one"}), await join(hello={"client": "other"})
    for client in (one, other):
        await client.subscribe("room.7")

    await apublish("room.7", "not for one", exclude="one")

    assert await one.receive() == {
        "type": "publication",
        "topic": "room.7",
        "offset": 1,
        "skipped": True,
    }
    assert (await other.receive())["data"] == "not for one"
    replay = await one.subscribe("room.7", recent=1)
    assert replay["publications"] == [{"offset": 1, "skipped": True}]


async def test_who_is_not_allowed_is_denied_and_the_socket_lives(join: Any, room: Any) -> None:
    client = await join()

    denied = await client.subscribe("room.13")

    assert denied == {
        "type": "error",
        "code": "denied",
        "message": "you may not subscribe to this topic",
        "id": 1,
        "topic": "room.13",
    }
    assert (await client.subscribe("room.7"))["type"] == "subscribed"


async def test_nobody_may_subscribe_unless_the_class_says_so(join: Any) -> None:
    class Forgotten(Topic, pattern="forgotten"):
        pass

    client = await join()

    assert (await client.subscribe("forgotten"))["code"] == "denied"


@pytest.mark.parametrize("name", ["lobby", "room.x", "room.7.8", "Room.7", "room. 7", "x" * 100])
async def test_a_topic_that_is_none_is_unknown(join: Any, room: Any, name: str) -> None:
    client = await join()

    assert (await client.subscribe(name))["code"] == "unknown_topic"


class TestTheLogOfARefusal:
    @pytest.fixture(autouse=True)
    def level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "django.channels.topics")

    async def ask(self, join: Any, topic: str, log: pytest.LogCaptureFixture) -> list[Any]:
        client = await join()
        log.clear()
        await client.subscribe(topic)
        await client.call(topic, "say")
        return [(each.levelname, each.getMessage()) for each in log.records]

    async def test_names_the_topic_and_the_method_that_refused(
        self, join: Any, room: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        logged = await self.ask(join, "room.13", caplog)

        reason = f"{room.__module__}.Room.authorize() did not allow it"
        assert logged == [("INFO", f"Denied a subscription to topic room.13: {reason}.")]

    async def test_says_that_a_class_has_no_authorize(
        self, join: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Forgotten(Topic, pattern="forgotten"):
            pass

        logged = await self.ask(join, "forgotten", caplog)

        reason = f"{__name__}.Forgotten has no authorize(), so nobody may"
        assert logged == [("INFO", f"Denied a subscription to topic forgotten: {reason}.")]

    async def test_says_that_no_class_has_the_name_and_keeps_it_in_one_line(
        self, join: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        logged = await self.ask(join, "a\nb", caplog)

        reason = "no topic class has this name"
        assert logged == [("INFO", f"Denied a subscription to topic 'a\\nb': {reason}.")]

    async def test_has_the_error_that_authorize_raised(
        self, join: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(Topic, pattern="broken"):
            def authorize(self) -> bool:
                return bool(1 // 0)

        logged = await self.ask(join, "broken", caplog)

        assert logged == [("ERROR", "A subscribe of topic broken failed.")]
        assert "ZeroDivisionError" in caplog.text


async def test_a_forged_position_is_refused_with_what_was_expected(join: Any, room: Any) -> None:
    client = await join()

    answer = await client.subscribe("room.7", position="7")

    assert answer["code"] == "invalid_frame"
    assert answer["message"] == "expected a position such as 'c9f0a1:42', got '7'"


async def test_unsubscribing_ends_the_frames(join: Any, room: Any) -> None:
    client = await join()
    await client.subscribe("room.7")

    answer = await client.ask(type="unsubscribe", topic="room.7")
    await apublish("room.7", 1)

    assert answer == {"type": "unsubscribed", "id": 2, "topic": "room.7"}
    assert await client.receives_nothing()
    assert (await client.ask(type="unsubscribe", topic="room.7"))["code"] == "not_subscribed"


class TestCalls:
    async def test_a_call_is_answered(self, join: Any, room: Any) -> None:
        client = await join()
        await client.subscribe("room.7")

        answer = await client.call("room.7", "say", data={"text": "hi", "loud": True})

        assert answer == {"type": "reply", "id": 2, "data": {"pk": 7, "text": "HI"}}

    async def test_a_plain_function_is_called_in_a_thread(self, join: Any, room: Any) -> None:
        client = await join()
        await client.subscribe("room.7")

        assert (await client.call("room.7", "work", data={"n": 5}))["data"] == 2

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"text": 5}, "Expected `str`, got `int` - at `$.text`"),
            ({}, "Object missing required field `text`"),
            ({"text": "a", "x": 1}, "Object contains unknown field `x`"),
            ([], "Expected `object`, got `array`"),
        ],
    )
    async def test_data_of_another_kind_is_refused(
        self, join: Any, room: Any, data: Any, message: str
    ) -> None:
        client = await join()
        await client.subscribe("room.7")

        answer = await client.call("room.7", "say", data=data)

        assert (answer["code"], answer["message"]) == ("invalid_data", message)

    async def test_a_call_that_is_none_is_refused_with_those_there_are(
        self, join: Any, room: Any
    ) -> None:
        client = await join()
        await client.subscribe("room.7")

        answer = await client.call("room.7", "authorize")

        assert answer["code"] == "unknown_call"
        assert answer["message"] == "no call 'authorize'; expected one of: refuse, say, work"

    async def test_a_call_needs_a_subscription(self, join: Any, room: Any) -> None:
        client = await join()

        assert (await client.call("room.7", "say"))["code"] == "not_subscribed"

    async def test_an_error_of_the_topic_reaches_the_client(self, join: Any, room: Any) -> None:
        client = await join()
        await client.subscribe("room.7")

        answer = await client.call("room.7", "refuse")

        assert (answer["code"], answer["message"]) == ("too_tired", "come back tomorrow")

    async def test_what_fails_is_logged_and_tells_the_client_nothing(
        self, join: Any, room: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = await join()
        await client.subscribe("room.7")

        answer = await client.call("room.7", "work", data={"n": 0})

        assert (answer["code"], answer["message"]) == ("failed", "the server failed")
        assert "ZeroDivisionError" in caplog.text

    async def test_a_call_that_takes_too_long_is_given_up(self, join: Any) -> None:
        class Slow(Topic, pattern="slow"):
            def authorize(self) -> bool:
                return True

            @call
            async def sleep(self) -> None:
                await asyncio.sleep(60)

        client = await join()
        await client.subscribe("slow")

        answer = await client.call("slow", "sleep", timeout=0.01)

        assert (answer["code"], answer["message"]) == ("timeout", "no answer within 0.01 s")

    async def test_calls_of_one_topic_are_answered_in_order_and_another_topic_does_not_wait(
        self, join: Any, room: Any
    ) -> None:
        class Slow(Topic, pattern="slow"):
            def authorize(self) -> bool:
                return True

            @call
            async def wait(self, n: int) -> int:
                await going_on.wait()
                return n

        going_on = asyncio.Event()
        client = await join()
        await client.subscribe("slow")
        for n in (1, 2, 3):
            await client.send(type="call", id=n, topic="slow", name="wait", data={"n": n})

        first = await client.subscribe("room.7")
        going_on.set()

        assert first["type"] == "subscribed"
        assert [(await client.receive())["data"] for _ in range(3)] == [1, 2, 3]


class TestLimits:
    async def test_a_flood_of_subscriptions_ends_at_the_limit(self, join: Any, room: Any) -> None:
        class Small(TopicConsumer):
            limits = Limits(topics=3)

        client = await join(consumer=Small)

        answers = [await client.subscribe(f"room.{n}") for n in range(5)]

        assert [answer.get("code") for answer in answers] == [
            None,
            None,
            None,
            "too_many_topics",
            "too_many_topics",
        ]
        await client.ask(type="unsubscribe", topic="room.1")
        assert (await client.subscribe("room.9"))["type"] == "subscribed"

    async def test_a_frame_that_is_too_large_is_refused(self, join: Any, room: Any) -> None:
        client = await join()
        await client.subscribe("room.7")

        answer = await client.call("room.7", "say", data={"text": "x" * 70_000})

        assert answer["code"] == "too_large"
        assert "at most 65536 in a frame" in answer["message"]

    async def test_frames_that_come_too_fast_are_ignored_with_an_error(self, join: Any) -> None:
        class Slow(TopicConsumer):
            limits = Limits(frame_rate=0.001, frame_burst=3)

        client = await join(consumer=Slow)
        for _ in range(3):
            await client.send(type="ping")

        answers = [await client.receive() for _ in range(3)]

        assert [each["type"] for each in answers] == ["pong", "pong", "error"]
        assert answers[2]["code"] == "rate_limited"

    async def test_calls_that_wait_are_bounded(self, join: Any) -> None:
        class Slow(Topic, pattern="slow"):
            max_calls = 2

            def authorize(self) -> bool:
                return True

            @call
            async def sleep(self) -> None:
                await asyncio.sleep(60)

        client = await join()
        await client.subscribe("slow")
        for n in range(10, 14):
            await client.send(type="call", id=n, topic="slow", name="sleep")

        answer = await client.receive()

        # Whether the first is still among those that wait depends on when its task begins.
        assert answer["code"] == "too_many_calls"
        assert answer["id"] in {12, 13}


class TestTokens:
    class WithTokens(TopicConsumer):
        async def authenticate(self, token: str) -> Identity:
            name, _, seconds = token.partition("/")
            if name == "bad":
                raise Refused("this token is bad")
            return Identity(name, float(seconds or 60))

    async def test_a_token_says_who_it_is_and_when_it_ends(self) -> None:
        client = Client(consumer=self.WithTokens)

        answer = await client.connect(token="ann/30")

        assert answer["expires"] == 30
        fresh = await client.ask(type="token", token="ann/40")
        assert fresh == {"type": "reply", "id": 1, "data": {"expires": 40}}
        await client.socket.disconnect()

    async def test_a_bad_token_is_told_goodbye(self) -> None:
        client = Client(consumer=self.WithTokens)

        answer = await client.connect(token="bad")

        assert answer == {
            "type": "goodbye",
            "code": "invalid_token",
            "message": "this token is bad",
            "reconnect": False,
        }
        assert (await client.socket.receive_output())["code"] == 3401

    async def test_a_token_that_runs_out_ends_the_connection(self) -> None:
        client = Client(consumer=self.WithTokens)
        await client.connect(token="ann/0.01")

        goodbye = await client.receive()

        assert (goodbye["code"], goodbye["reconnect"]) == ("token_expired", True)
        assert (await client.socket.receive_output())["code"] == 3403

    async def test_a_site_without_tokens_says_so(self) -> None:
        client = Client()

        assert (await client.connect(token="x"))["message"] == "this site takes no tokens"


class TestPresence:
    @pytest.fixture
    def lounge(self) -> Any:
        class Lounge(Topic, pattern="lounge"):
            delivery = Reliable()
            presence = True
            presence_grace = 0.05

            def authorize(self) -> bool:
                return True

            def member(self) -> str:
                return str(self.user)

            def shown(self) -> Any:
                return {"name": str(self.user).title()}

        return Lounge

    async def test_clients_see_who_comes_and_goes_and_tabs_are_merged(
        self, join: Any, lounge: Any
    ) -> None:
        ann = await join("ann")
        first = await ann.subscribe("lounge")
        tabs = [await join("bob"), await join("bob")]
        for tab in tabs:
            await tab.subscribe("lounge")

        came = await ann.receive()
        await tabs[0].ask(type="unsubscribe", topic="lounge")
        await tabs[1].socket.disconnect()
        went = await ann.receive()

        assert first["presence"]["members"] == {"ann": {"name": "Ann"}}
        assert (came["joined"], came["left"]) == ({"bob": {"name": "Bob"}}, [])
        assert (went["joined"], went["left"]) == ({}, ["bob"])
        assert came["version"] == first["presence"]["version"] + 1 == went["version"] - 1
        assert await ann.receives_nothing()

    async def test_who_comes_back_within_the_grace_was_never_away(
        self, join: Any, lounge: Any
    ) -> None:
        ann = await join("ann")
        await ann.subscribe("lounge")
        bob = await join("bob", hello={"client": "bobs-page"})
        await bob.subscribe("lounge")
        await ann.receive()

        lounge.presence_grace = 0.5 * SLOW
        await bob.socket.disconnect()
        again = await join("bob", hello={"client": "bobs-page"})
        await again.subscribe("lounge")
        await asyncio.sleep(0.7 * SLOW)

        assert await ann.receives_nothing()


async def test_a_client_that_sends_rubbish_keeps_its_socket(join: Any, room: Any) -> None:
    client = await join()

    for rubbish in (" ", "[", "null", '{"type": 5}', '"\\ud800"', "{" * 10_000):
        await client.socket.send_to(text_data=rubbish)
        assert (await client.receive())["code"] == "invalid_frame"

    await client.send(type="ping", id=9)
    assert await client.receive() == {"type": "pong", "id": 9}


async def test_a_frame_is_encoded_once_for_all_subscribers(
    join: Any, room: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channels.topics import calls, protocol

    clients = [await join() for _ in range(5)]
    for client in clients:
        await client.subscribe("room.7")
    built: list[str] = []
    build = protocol.publication
    monkeypatch.setattr(
        protocol, "publication", lambda *args: built.append(build(*args)) or built[-1]
    )
    encoded: list[Any] = []
    dumps = json.dumps
    monkeypatch.setattr(
        calls.json, "dumps", lambda *args, **kw: encoded.append(args) or dumps(*args, **kw)
    )

    await apublish("room.7", {"a": 1})

    assert [await client.receive() for client in clients] == [json.loads(built[0])] * 5
    assert (len(built), len(encoded)) == (1, 1)


async def test_what_comes_behind_a_goodbye_is_ignored(join: Any) -> None:
    client = Client(consumer=TestTokens.WithTokens)
    await client.socket.connect()
    await client.send(type="hello", token="bad")

    await client.send(type="hello")

    assert (await client.receive())["type"] == "goodbye"
    assert (await client.socket.receive_output())["code"] == 3401
    assert await client.receives_nothing()
    assert not here().connections


class TestRights:
    """What a client may no longer have, it has no longer."""

    async def test_who_is_denied_when_subscribing_again_has_nothing_more(self, join: Any) -> None:
        allowed = [True, False]

        class Secret(Topic, pattern="secret"):
            delivery = Reliable()
            presence = True

            def authorize(self) -> bool:
                return allowed.pop(0)

            def shown(self) -> Any:
                return {}

            @call
            async def poke(self) -> None:
                raise AssertionError("called by somebody who was denied")

        client = await join()
        await client.subscribe("secret")

        assert (await client.subscribe("secret"))["code"] == "denied"

        await apublish("secret", "secret")
        assert (await client.call("secret", "poke"))["code"] == "not_subscribed"
        assert await client.receives_nothing()
        assert await Presence("secret").alist() == {}

    async def test_a_client_that_does_not_read_is_signed_out_all_the_same(self, room: Any) -> None:
        engine, reads, closed = here(), asyncio.Event(), []

        async def send(text: str) -> None:
            await reads.wait()

        async def close(code: int, reason: str) -> None:
            closed.append(code)

        async def nothing(*args: Any) -> Any:
            return None

        session = Session(
            engine, "slow", {"type": "websocket"},
            send=send, close=close, clean_up=nothing, authenticate=nothing, limits=Limits(),
        )  # fmt: skip
        goodbye = asyncio.create_task(session.say_goodbye("signed_out", "", 3401))
        await asyncio.sleep(0)

        assert engine.connections == {}
        await session.receive('{"type":"hello"}')
        reads.set()
        await goodbye
        assert closed == [3401]

    async def test_who_says_no_hello_in_time_is_told_goodbye(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session_module, "HELLO_TIMEOUT", 0.01)
        client = Client()
        await client.socket.connect()

        assert (await client.receive())["code"] == "expected_hello"
        assert (await client.socket.receive_output())["code"] == 3400

    async def test_the_id_of_a_client_is_no_key_to_another_s_presence(self, join: Any) -> None:
        class Lounge(Topic, pattern="lounge"):
            presence = True
            presence_grace = 0.01

            def authorize(self) -> bool:
                return True

            def member(self) -> str:
                return str(self.user)

            def shown(self) -> Any:
                return {}

        ann, eve = (
            await join("ann", hello={"client": "x"}),
            await join("eve", hello={"client": "x"}),
        )
        await ann.subscribe("lounge")
        await eve.subscribe("lounge")

        await eve.ask(type="unsubscribe", topic="lounge")
        await asyncio.sleep(0.05)

        assert set(await Presence("lounge").alist()) == {"ann"}


async def test_who_leaves_and_comes_back_at_once_is_there(join: Any) -> None:
    class Lounge(Topic, pattern="lounge"):
        presence = True

        async def authorize(self) -> bool:
            return True

        async def shown(self) -> Any:
            return {}

    client = await join()
    await client.subscribe("lounge")
    await client.send(type="unsubscribe", id=8, topic="lounge")
    await client.send(type="subscribe", id=9, topic="lounge")
    answers = [await client.receive() for _ in range(2)]
    await asyncio.sleep(0.05)

    assert [each["id"] for each in answers] == [8, 9]
    assert len(await Presence("lounge").alist()) == 1


async def test_a_recovery_is_never_refused_for_the_calls_that_wait(join: Any) -> None:
    class Slow(Topic, pattern="slow"):
        max_calls = 2

        def authorize(self) -> bool:
            return True

        @call
        async def wait(self) -> None:
            await going_on.wait()

    going_on = asyncio.Event()
    client = await join()
    await client.subscribe("slow")
    for n in (10, 11):
        await client.send(type="call", id=n, topic="slow", name="wait")
    await client.send(type="subscribe", id=12, topic="slow")
    await client.send(type="subscribe", id=13, topic="slow")
    await asyncio.sleep(0.01)
    going_on.set()

    answers = [await client.receive() for _ in range(3)]

    assert [(each["type"], each["id"]) for each in answers] == [
        ("reply", 10),
        ("reply", 11),
        ("subscribed", 13),
    ]


async def test_unsubscribing_is_never_refused_for_the_calls_that_wait(join: Any) -> None:
    class Slow(Topic, pattern="slow"):
        max_calls = 2

        def authorize(self) -> bool:
            return True

        @call
        async def wait(self) -> None:
            await going_on.wait()

    going_on = asyncio.Event()
    client = await join()
    await client.subscribe("slow")
    for n in (10, 11):
        await client.send(type="call", id=n, topic="slow", name="wait")
    for n in (12, 13):
        await client.send(type="unsubscribe", id=n, topic="slow")

    first = await client.receive()
    going_on.set()
    answers = [first, *[await client.receive() for _ in range(3)]]

    # Of two that wait, the later is done.
    assert [(each["type"], each["id"]) for each in answers] == [
        ("error", 12),
        ("reply", 10),
        ("reply", 11),
        ("unsubscribed", 13),
    ]
    assert first["code"] == "not_subscribed"
    assert first["message"] == "a later request does the same"


async def test_the_time_out_of_a_call_s_own_is_no_answer_in_time(
    join: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Topic, pattern="failing"):
        def authorize(self) -> bool:
            return True

        @call
        async def ask(self) -> None:
            raise TimeoutError("the pool of the database")

    client = await join()
    await client.subscribe("failing")

    assert (await client.call("failing", "ask"))["code"] == "failed"
    assert "the pool of the database" in caplog.text


async def test_a_token_that_cannot_be_judged_ends_nothing(join: Any) -> None:
    class Broken(TopicConsumer):
        async def authenticate(self, token: str) -> Identity:
            raise LookupError("the database is away")

    client = await join(consumer=Broken)

    answer = await client.ask(type="token", token="x")

    assert (answer["code"], answer["message"]) == (
        "failed",
        "the token could not be judged; try again",
    )
    await client.send(type="ping")
    assert (await client.receive())["type"] == "pong"


async def test_a_volatile_topic_misses_nothing_while_it_is_asked_for_again(
    join: Any, prices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = asyncio.Event()
    client = await join()
    await client.subscribe("prices.ACME")

    async def authorize(self: Any) -> bool:
        await going_on.wait()
        return True

    monkeypatch.setattr(prices, "authorize", authorize)
    await client.send(type="subscribe", id=2, topic="prices.ACME")
    await asyncio.sleep(0.01)
    await apublish("prices.ACME", 1)
    going_on.set()

    assert (await client.receive())["data"] == 1
    assert (await client.receive())["type"] == "subscribed"


async def test_a_body_that_is_none_of_ours_leaves_no_hole(join: Any, room: Any) -> None:
    client = await join()
    answer = await client.subscribe("room.7")
    broker, retention = here().broker, room.delivery.retention

    await broker.publish("room.7", b"\xff", retention=retention, publication_id="foreign")
    await apublish("room.7", 2)

    assert (await client.receive())["skipped"] is True
    assert (await client.receive())["data"] == 2
    again = await client.subscribe("room.7", position=answer["position"])
    assert again["publications"] == [{"offset": 1, "skipped": True}, {"offset": 2, "data": 2}]

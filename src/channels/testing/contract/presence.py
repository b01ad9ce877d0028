"""Who is in a topic, and the changes of that."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

import asyncio
from typing import Any

from channels.testing.contract.base import new_name
from channels.testing.contract.listening import Recorder, TopicBrokerSuite

NOTHING = '{"name": "?"}'
"""What a topic shows of a member, if that does not matter."""


class PresenceContract(TopicBrokerSuite):
    """Who is in a topic is the same for all, and every change of it has a number."""

    async def test_the_first_connection_of_a_member_joins_and_the_last_leaves(
        self, open_broker: Any
    ) -> None:
        heard, topic = Recorder(), new_name("topic")
        here, there = open_broker(Recorder()), open_broker(heard)
        await there.listen(topic)

        await here.enter(topic, "tab", "ann", shown='{"n": 1}')
        await there.enter(topic, "tab", "ann", shown='{"n": 1}')
        await here.enter(topic, "other tab", "ann", shown='{"n": 1}')
        await here.leave(topic, "tab")
        await here.leave(topic, "other tab")
        present = await here.present(topic)
        await there.leave(topic, "tab")

        await self.until(lambda: len(heard.changes) == 2)
        (came, went) = heard.changes_of(topic)
        assert came[1:] == ({"ann": '{"n": 1}'}, [])
        assert went[1:] == ({}, ["ann"])
        assert present == (came.version, {"ann": '{"n": 1}'})
        assert went.version == came.version + 1
        assert (await here.present(topic)).members == {}

    async def test_versions_are_consecutive_and_go_on_from_what_present_said(
        self, open_broker: Any
    ) -> None:
        heard, topic = Recorder(), new_name("topic")
        broker = open_broker(heard)
        await broker.enter(topic, "0", "0", shown=NOTHING)
        present = await broker.present(topic)
        await broker.listen(topic)

        for n in range(1, 6):
            await broker.enter(topic, str(n), str(n), shown=NOTHING)
        await broker.leave(topic, "3")

        await self.until(lambda: len(heard.changes) == 6)
        versions = [change.version for change in heard.changes_of(topic)]
        assert versions == [present.version + n for n in range(1, 7)]
        assert await broker.present(topic) == (
            versions[-1],
            dict.fromkeys(["0", "1", "2", "4", "5"], NOTHING),
        )

    async def test_another_text_is_a_change_and_the_same_is_none(self, open_broker: Any) -> None:
        heard, topic = Recorder(), new_name("topic")
        broker = open_broker(heard)
        await broker.listen(topic)
        texts = ['{"n": 1}', '{"n": 1}', '{"n": 2}', '{"n": "\u00fc\U0001f600\\u0000"}', "null"]

        for text in texts:
            await broker.enter(topic, "tab", "a key: of any\ntext \u00e9", shown=text)

        await self.until(lambda: len(heard.changes) == 4)
        shown = [list(change.joined.values()) for change in heard.changes_of(topic)]
        assert shown == [[text] for text in texts[1:]]
        assert (await broker.present(topic)).members == {"a key: of any\ntext \u00e9": "null"}

    async def test_entering_and_leaving_may_be_repeated(self, open_broker: Any) -> None:
        heard, topic = Recorder(), new_name("topic")
        broker = open_broker(heard)
        await broker.listen(topic)

        for _ in range(3):
            await broker.enter(topic, "tab", "ann", shown=NOTHING)
        for _ in range(3):
            await broker.leave(topic, "tab")
        await broker.leave(topic, "nobody")
        await broker.enter(topic, "tab", "bob", shown=NOTHING)

        await self.until(lambda: len(heard.changes) == 3)
        assert [(list(change.joined), change.left) for change in heard.changes_of(topic)] == [
            (["ann"], []),
            ([], ["ann"]),
            (["bob"], []),
        ]

    async def test_a_connection_may_become_another_member(self, open_broker: Any) -> None:
        topic = new_name("topic")
        broker = open_broker(Recorder())
        await broker.enter(topic, "tab", "anonymous", shown=NOTHING)

        await broker.enter(topic, "tab", "ann", shown=NOTHING)

        assert (await broker.present(topic)).members == {"ann": NOTHING}
        await broker.leave(topic, "tab")
        assert (await broker.present(topic)).members == {}

    async def test_members_at_once_are_all_there_with_versions_of_their_own(
        self, open_broker: Any
    ) -> None:
        heard, topic = Recorder(), new_name("topic")
        brokers = [open_broker(heard), open_broker(Recorder())]
        await brokers[0].listen(topic)

        await asyncio.gather(
            *[
                broker.enter(topic, str(n), f"{side}-{n}", shown=NOTHING)
                for side, broker in enumerate(brokers)
                for n in range(20)
            ]
        )

        await self.until(lambda: len(heard.changes) == 40)
        versions = [change.version for change in heard.changes_of(topic)]
        assert versions == list(range(versions[0], versions[0] + 40))
        assert len((await brokers[1].present(topic)).members) == 40

    async def test_members_of_a_process_that_renews_no_more_leave_once(
        self, open_broker: Any
    ) -> None:
        heard, topic = Recorder(), new_name("topic")
        dead, living, other = (open_broker(each) for each in (Recorder(), heard, Recorder()))
        await living.listen(topic)
        for connection, key in (("1", "ann"), ("2", "ann"), ("3", "bob"), ("4", "eve")):
            await dead.enter(topic, connection, key, shown=NOTHING)
        await living.enter(topic, "1", "eve", shown=NOTHING)
        await dead.renew([topic], 1.0)
        for broker in (living, other):
            await broker.renew([topic], 60.0)
        before = await living.present(topic)
        assert set(before.members) == {"ann", "bob", "eve"}

        await self.pass_time(1.5)
        for broker in (living, other, living):
            await broker.renew([topic, new_name("topic")], 60.0)

        after = await living.present(topic)
        assert after == (before.version + 1, {"eve": NOTHING})
        await self.until(lambda: heard.changes_of(topic)[-1].version == after.version)
        assert sorted(heard.changes_of(topic)[-1].left) == ["ann", "bob"]

    async def test_a_process_that_renews_keeps_its_members(self, open_broker: Any) -> None:
        topic = new_name("topic")
        brokers = [open_broker(Recorder()), open_broker(Recorder())]
        await brokers[0].enter(topic, "1", "ann", shown=NOTHING)

        for _ in range(3):
            await brokers[0].renew([topic], 0.6)
            await self.pass_time(0.3)
            await brokers[1].renew([topic], 0.6)

        assert (await brokers[1].present(topic)).members == {"ann": NOTHING}

    async def test_forgetting_a_topic_forgets_who_is_there(self, open_broker: Any) -> None:
        heard, topic = Recorder(), new_name("topic")
        broker = open_broker(heard)
        await broker.listen(topic)
        await broker.enter(topic, "1", "ann", shown=NOTHING)

        await broker.forget(topic)

        assert (await broker.present(topic)).members == {}
        await self.until(lambda: len(heard.changes) == 2)
        assert heard.changes_of(topic)[-1].left == ["ann"]

    async def test_members_of_a_forgotten_topic_enter_again_when_it_is_renewed(
        self, open_broker: Any
    ) -> None:
        topic, other = new_name("topic"), new_name("topic")
        broker = open_broker(Recorder())
        await broker.enter(topic, "1", "ann", shown=NOTHING)
        await broker.forget(topic)

        # That of another topic makes no difference.
        await broker.renew([other], 60.0)
        await broker.renew([topic], 60.0)

        assert (await broker.present(topic)).members == {"ann": NOTHING}

"""Whatever fails and whoever relays: nothing is lost, nothing doubled, nothing overtaken."""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from channels.outbox.models import Entry
from channels.outbox.relaying import relay, relay_topic

NAMES = ("a", "b")
FATES = ("done", "refused", "answer lost", "killed", "another relays first", "another relays after")


class Killed(BaseException):
    """The process ends here."""


class Machine(RuleBasedStateMachine):
    """Writes and relays; the broker does what each attempt is fated to."""

    def __init__(self) -> None:
        super().__init__()
        Entry.objects.all().delete()
        self.committed: dict[str, list[uuid.UUID]] = defaultdict(list)
        self.published: dict[str, list[uuid.UUID]] = defaultdict(list)
        self.fates: list[str] = []

    def send(self, entry: Entry) -> None:
        """Be the broker, which remembers ids."""
        fate = self.fates.pop() if self.fates else "done"
        if fate == "refused":
            raise ConnectionError
        if fate == "another relays first":
            relay(using="default", send=self.send)
        if entry.publication_id not in self.published[entry.topic]:
            self.published[entry.topic].append(entry.publication_id)
        if fate == "another relays after":
            relay(using="default", send=self.send)
        if fate == "answer lost":
            raise ConnectionError
        if fate == "killed":
            raise Killed

    @rule(topics=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), commits=st.booleans())
    def write(self, topics: list[str], commits: bool) -> None:
        """Publish in a transaction."""
        with transaction.atomic():
            entries = [Entry.objects.create(topic=topic, body=b"") for topic in topics]
            transaction.set_rollback(not commits)
        for entry in entries if commits else ():
            self.committed[entry.topic].append(entry.publication_id)

    @rule(name=st.sampled_from(NAMES), fates=st.lists(st.sampled_from(FATES), max_size=6))
    def relay_one(self, name: str, fates: list[str]) -> None:
        """Relay a topic, as after a commit."""
        self.fates = fates
        with contextlib.suppress(Killed):
            relay_topic(name, using="default", send=self.send)

    @rule()
    def relay_all(self) -> None:
        """Relay everything while the broker is well: then everything is there."""
        self.fates = []
        relay(using="default", send=self.send)

        assert self.published == {name: ids for name, ids in self.committed.items() if ids}
        assert not Entry.objects.exists()

    @invariant()
    def in_order(self) -> None:
        """What is published is the beginning of what was committed."""
        for name, ids in self.published.items():
            assert ids == self.committed[name][: len(ids)]

    @invariant()
    def nothing_is_lost(self) -> None:
        """What is not published yet has a row."""
        left = set(Entry.objects.values_list("publication_id", flat=True))
        for name, ids in self.committed.items():
            assert set(ids) - set(self.published[name]) <= left


@pytest.mark.django_db(transaction=True)
def test_order_and_loss() -> None:
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=15, deadline=None)
    )

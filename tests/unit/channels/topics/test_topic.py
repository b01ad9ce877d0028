"""Topic classes: what is checked when they are defined."""

from __future__ import annotations

import re
from typing import Any

import pytest

from channels.exceptions import UnknownTopicError
from channels.topics import Presence, Reliable, Topic, call
from channels.topics.topic import find


def test_a_part_may_not_hide_an_attribute() -> None:
    with pytest.raises(TypeError, match="Bad: a topic has an attribute 'user' already"):

        class Bad(Topic, pattern="bad.<str:user>"):
            pass


def test_a_call_needs_annotations_to_check_by() -> None:
    with pytest.raises(TypeError, match=r"Bad\.say has no annotation for 'text' to check it by"):

        class Bad(Topic):
            @call
            async def say(self, text) -> None:  # type: ignore[no-untyped-def]
                pass


def test_a_call_names_its_parameters() -> None:
    with pytest.raises(TypeError, match=r"Bad\.say takes \*\*data: 'Any'; a call names each"):

        class Bad(Topic):
            @call
            async def say(self, **data: Any) -> None:
                pass


def test_an_annotation_that_cannot_be_checked_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Bad\.say: "):

        class Bad(Topic):
            @call
            async def say(self, text: int | Topic | dict[bytes, list[str]] | list[int]) -> None:
                pass


@pytest.mark.parametrize("bound", ["history", "ttl", "max_bytes"])
def test_bounds_are_above_0(bound: str) -> None:
    with pytest.raises(ValueError, match=rf"Reliable\({bound}=0\): expected above 0"):
        Reliable(**{bound: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("delivery", [Reliable, "reliable", None])
def test_a_delivery_that_is_none_is_refused(delivery: Any) -> None:
    expected = f"Bad: expected delivery to be Volatile() or Reliable(...), not {delivery!r}"

    with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
        type("Bad", (Topic,), {"delivery": delivery})


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="'drop_all' is not a valid SlowConsumer"):

        class Bad(Topic):
            slow_consumer = "drop_all"


def test_a_name_finds_its_class_and_a_class_gives_the_name(room: Any) -> None:
    assert find("room.7") == (room, {"pk": 7})
    assert room.topic_name(pk=7) == "room.7"


def test_a_name_that_no_class_has_says_what_there_is(room: Any) -> None:
    # Other modules of tests have topics, too.
    with pytest.raises(
        UnknownTopicError, match=r"no topic 'lobby'; known patterns: .*room\.<int:pk>"
    ):
        find("lobby")
    with pytest.raises(UnknownTopicError, match="no topic 7; known"):
        find(7)


def test_a_class_that_is_loaded_again_takes_the_place_of_the_first() -> None:
    def load() -> type[Topic]:
        class Again(Topic, pattern="again.<int:pk>"):
            pass

        return Again

    load()
    again = load()

    assert find("again.7")[0] is again


def test_two_classes_may_not_have_one_pattern(room: Any) -> None:
    with pytest.raises(TypeError, match=r"Other has the pattern 'room\.<int:pk>' of .*Room; exp"):

        class Other(Topic, pattern="room.<int:pk>"):
            pass


def test_a_topic_has_one_name(room: Any) -> None:
    for name in ("room.07", "room.007"):
        with pytest.raises(UnknownTopicError):
            find(name)


def test_a_name_that_is_written_out_goes_before_a_pattern() -> None:
    class Document(Topic, pattern="doc.<str:slug>"):
        pass

    class Admin(Topic, pattern="doc.admin"):
        pass

    assert find("doc.admin")[0] is Admin
    assert find("doc.other")[0] is Document


def test_presence_is_asked_only_where_there_is_some(room: Any) -> None:
    with pytest.raises(ValueError, match="Room has no presence; set 'presence = True'"):
        Presence("room.7")

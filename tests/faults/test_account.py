"""The account of a chat finds what is wrong with it."""

from __future__ import annotations

from typing import Any, cast

from tests.faults.chatting import Person, Site, account

NOWHERE = cast("Site", None)


def people(**lines: list[str]) -> list[Person]:
    """Return two people in one room, of whom Ann has published two lines."""
    result = []
    for name in ("ann", "bob"):
        person = Person(name, "room", NOWHERE)
        for line in lines[name]:
            person.take({"line": line})
        result.append(person)
    for line in ("1", "2"):
        result[0].take({"published": line})
    return result


def outcome(**lines: list[str]) -> tuple[Any, Any]:
    result = account(people(**lines))
    return result.lost, result.doubled


def test_a_chat_in_which_everyone_saw_everything_has_no_faults() -> None:
    assert outcome(ann=["1", "2"], bob=["2", "1"]) == ([], [])


def test_a_line_that_one_person_missed_is_found() -> None:
    assert outcome(ann=["1", "2"], bob=["2"]) == ([("1", "bob")], [])


def test_a_line_that_one_person_saw_twice_is_found() -> None:
    assert outcome(ann=["1", "2"], bob=["1", "2", "1"]) == ([], [("1", "bob")])


def test_a_line_that_was_not_published_may_be_missed_but_not_doubled() -> None:
    assert outcome(ann=["1", "2", "3"], bob=["1", "2"]) == ([], [])
    assert outcome(ann=["1", "2", "3", "3"], bob=["1", "2"]) == ([], [("3", "ann")])


def test_another_room_is_another_matter() -> None:
    ann, bob = people(ann=["1", "2"], bob=[])
    bob.room = "elsewhere"

    assert account([ann, bob]).lost == []

"""The checker of reliable topics finds what is wrong, wherever it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.history.position import Position
from tests.faults.checking import Began, Event, Fault, Gap, Published, Story, Took, check, gaps

OLD, NEW = "a1", "b2"


def published(*positions: tuple[str, int]) -> list[Published]:
    return [Published("t", Position(*each), f"{each[0]}/{each[1]}") for each in positions]


def took(epoch: str, *offsets: int) -> Story:
    return [Took(Position(epoch, offset), f"{epoch}/{offset}") for offset in offsets]


def began(epoch: str, offset: int) -> Event:
    return Began(Position(epoch, offset))


def gap(epoch: str, offset: int) -> Event:
    return Gap(Position(epoch, offset), "epoch")


def faults(story: Story, of: list[Published]) -> list[Fault]:
    return check(of, {("ann", "t"): story})


SENT = published(*[(OLD, offset) for offset in range(1, 9)], *[(NEW, each) for each in (9, 10, 11)])
STORY: Story = [began(OLD, 2), *took(OLD, 3, 4, 5), gap(NEW, 9), *took(NEW, 10, 11)]
"""Of a client that came late, lost three, and one in the new epoch, and was told so."""


def test_whoever_saw_everything_or_was_told_is_content() -> None:
    assert faults(STORY, SENT) == []
    assert gaps({("ann", "t"): STORY}) == [gap(NEW, 9)]


def test_each_that_is_removed_is_missed() -> None:
    for index, event in enumerate(STORY):
        # What stands right before a gap is within it once it is gone.
        if isinstance(event, Took) and event.position.offset != 5:
            assert faults(STORY[:index] + STORY[index + 1 :], SENT), event


def test_each_that_is_doubled_is_found() -> None:
    for index, event in enumerate(STORY):
        if isinstance(event, Took):
            assert faults([*STORY[: index + 1], *STORY[index:]], SENT), event


def test_two_that_are_swapped_are_found() -> None:
    for index in (1, 2, 5):
        swapped = [*STORY]
        swapped[index : index + 2] = reversed(swapped[index : index + 2])

        assert faults(swapped, SENT), index


def test_a_gap_that_is_removed_is_missed() -> None:
    kinds = {fault.kind for fault in faults([e for e in STORY if not isinstance(e, Gap)], SENT)}

    assert kinds == {"strange", "lost"}


def test_a_gap_within_an_epoch_excuses_what_it_spans_and_no_more() -> None:
    sent = published(*[(OLD, offset) for offset in range(1, 8)])
    story: Story = [began(OLD, 0), *took(OLD, 1), gap(OLD, 5), *took(OLD, 6, 7)]

    assert faults(story, sent) == []
    assert [fault.kind for fault in faults([*story[:3], *took(OLD, 7)], sent)] == ["hole", "lost"]
    assert [fault.kind for fault in faults([*story[:2], *story[3:]], sent)] == ["hole"] + [
        "lost"
    ] * 4


def test_an_epoch_that_passed_while_a_client_was_away_is_within_its_gap() -> None:
    sent = published((OLD, 1), ("c3", 1), (NEW, 1), (NEW, 2))
    story: Story = [began(OLD, 0), *took(OLD, 1), gap(NEW, 1), *took(NEW, 2)]

    assert faults(story, sent) == []
    assert [fault.kind for fault in faults(story[:2], sent)] == ["lost"] * 3


def test_an_epoch_that_a_client_never_came_to_is_missed() -> None:
    story: Story = [began(OLD, 0), *took(OLD, 1), gap("c3", 1)]

    lost = faults(story, published((OLD, 1), ("c3", 1), (NEW, 2)))

    assert [fault.kind for fault in lost] == ["lost"]


def test_data_that_got_two_positions_is_found() -> None:
    story: Story = [began(OLD, 0), Took(Position(OLD, 1), "x"), Took(Position(OLD, 2), "x")]

    assert [fault.kind for fault in faults(story, [])] == ["twice"]


def test_other_data_at_a_position_is_found() -> None:
    story: Story = [began(OLD, 0), Took(Position(OLD, 1), "else")]

    assert [fault.kind for fault in faults(story, published((OLD, 1)))] == ["other"]


def test_behind_a_gap_what_is_old_may_come_again() -> None:
    story: Story = [began(OLD, 0), *took(OLD, 1, 2), gap(OLD, 1), *took(OLD, 2)]

    assert faults(story, published((OLD, 1), (OLD, 2))) == []


def test_whoever_was_never_subscribed_has_lost_everything() -> None:
    assert [fault.kind for fault in faults([], published((OLD, 1)))] == ["lost"]


def test_nobody_is_given_anything_before_the_beginning() -> None:
    assert [fault.kind for fault in faults(took(OLD, 1), [])] == ["early"]


def test_a_story_begins_once() -> None:
    kinds = [fault.kind for fault in faults([began(OLD, 1), began(OLD, 2)], [])]

    assert kinds == ["begun again"]


@pytest.mark.parametrize("harm", ["removed", "doubled", "swapped"])
@given(st.data())
def test_no_harm_to_a_long_story_goes_unseen(harm: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(3, 40))
    story: Story = [began(OLD, 0), *took(OLD, *range(1, length))]
    index = data.draw(st.integers(1, length - (2 if harm == "swapped" else 1)))
    if harm == "removed":
        del story[index]
    elif harm == "doubled":
        story.insert(data.draw(st.integers(index, length)), story[index])
    else:
        story[index], story[index + 1] = story[index + 1], story[index]

    assert faults(story, published(*[(OLD, offset) for offset in range(1, length)]))

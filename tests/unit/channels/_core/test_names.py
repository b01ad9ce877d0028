"""The grammar of channel and group names, by table and by search."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels._core.names import CHANNEL_NAME, GROUP_NAME, INVALID_NAME, MAX_NAME_LENGTH, non_local

LETTERS = string.ascii_letters + string.digits + "-_."
WORDS = st.text(LETTERS, min_size=1)


@given(WORDS)
def test_ascii_letters_digits_and_three_marks_name_a_group_and_a_channel(name: str) -> None:
    assert GROUP_NAME.match(name)
    assert CHANNEL_NAME.match(name)


@given(WORDS, st.text(LETTERS))
def test_a_channel_may_have_one_mark_with_anything_allowed_after_it(head: str, tail: str) -> None:
    assert CHANNEL_NAME.match(f"{head}!{tail}")
    assert not GROUP_NAME.match(f"{head}!{tail}")


@given(st.text().filter(lambda text: not text or set(text) - set(LETTERS + "!")))
def test_any_other_character_is_refused(name: str) -> None:
    assert not GROUP_NAME.match(name)
    assert not CHANNEL_NAME.match(name)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a\n", "\na", "a!b!c", "!a", "a?b", "ä", "a!ä", "\u0661", "a!b\n", "a/b", "a:b"],
)
def test_what_upstream_has_let_through_or_refused_is_refused(name: str) -> None:
    assert not GROUP_NAME.match(name)
    assert not CHANNEL_NAME.match(name)


def test_the_text_has_one_slot_and_names_the_longest_length() -> None:
    assert INVALID_NAME.format("Group") == (
        "Group name must be a string of 1 to 99 ASCII letters, digits, hyphens, underscores "
        "or full stops."
    )
    assert INVALID_NAME.count("{}") == 1
    assert str(MAX_NAME_LENGTH - 1) in INVALID_NAME


@pytest.mark.parametrize(
    ("name", "non_local_part"),
    [("plain", "plain"), ("a!b", "a!"), ("a!", "a!"), ("a!b!c", "a!"), ("", "")],
)
def test_the_non_local_part_ends_at_the_first_mark(name: str, non_local_part: str) -> None:
    assert non_local(name) == non_local_part

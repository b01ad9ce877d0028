"""Copies of a message share nothing that can change, whatever the message is made of."""

from __future__ import annotations

import array
import copy
import datetime
import decimal
import threading
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels._core.copying import CONTAINERS, IMMUTABLE, copier


@dataclass
class Note:
    """An object of the application, with something in it that can change."""

    lines: list[str] = field(default_factory=list)


class Shout(str):
    """A str that may carry attributes of its own."""

    marks: list[str]


SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
FLAT = (
    SCALAR
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
KEYS = st.text(max_size=5)
PLAIN = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)
UNPLAIN = st.recursive(
    FLAT | st.binary().map(bytearray) | st.lists(st.text(), max_size=2).map(Note),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(KEYS, inner, max_size=3).map(lambda items: defaultdict(list, items))
        | st.lists(inner, max_size=3).map(deque)
        | st.lists(st.integers(0, 9), max_size=3).map(lambda items: array.array("b", items))
        | st.text().map(Shout)
    ),
    max_leaves=12,
)


def messages(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(KEYS, values, max_size=4).map(lambda body: {"type": "t", **body})


def changeable(value: Any) -> Iterator[Any]:
    """Yield every object within ``value`` that can change."""
    if isinstance(value, Mapping):
        yield value
        inner: list[Any] = list(value.values())
    elif isinstance(value, list | set | deque | tuple):
        if not isinstance(value, tuple):
            yield value
        inner = list(value)
    elif isinstance(value, bytearray | array.array):
        yield value
        inner = []
    elif isinstance(value, Note):
        yield value
        inner = [value.lines]
    else:
        inner = []
    for part in inner:
        yield from changeable(part)


def spoil(message: dict[str, Any]) -> None:
    """Empty everything within ``message`` that can change."""
    for part in list(changeable(message)):
        if isinstance(part, Note):
            part.lines = ["spoilt"]
        elif isinstance(part, bytearray | array.array):
            del part[:]
        else:
            part.clear()


def shape(value: Any) -> Any:
    """Return the types ``value`` is made of, which equality alone does not tell apart."""
    if isinstance(value, Mapping):
        return type(value), {key: shape(item) for key, item in value.items()}
    if isinstance(value, list | deque | tuple):
        return type(value), [shape(item) for item in value]
    return type(value)


def require_independence(message: dict[str, Any]) -> None:
    before = copy.deepcopy(message)
    make_copy = copier(message)
    first, second = make_copy(), make_copy()
    owners: dict[int, Any] = {}
    for owner in (message, first, second):
        for part in {id(part) for part in changeable(owner)}:
            assert owners.setdefault(part, owner) is owner

    spoil(message)
    spoil(first)
    third = make_copy()

    for intact in (second, third):
        assert intact == before
        assert shape(intact) == shape(before)


@given(messages(FLAT))
def test_copies_of_flat_messages_share_nothing_that_can_change(message: dict[str, Any]) -> None:
    require_independence(message)


@given(messages(PLAIN))
def test_copies_of_plain_nested_messages_share_nothing_that_can_change(
    message: dict[str, Any],
) -> None:
    require_independence(message)


@given(messages(UNPLAIN))
def test_copies_of_any_other_message_share_nothing_that_can_change(
    message: dict[str, Any],
) -> None:
    require_independence(message)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)], id="datetime in a list"),
        pytest.param({"sum": [decimal.Decimal("1.10")]}, id="Decimal in a dict"),
        pytest.param([uuid.UUID(int=1)], id="UUID in a list"),
        pytest.param(bytearray(b"abc"), id="bytearray"),
        pytest.param([bytearray(b"abc")], id="bytearray in a list"),
        pytest.param(array.array("d", [1.5]), id="array"),
        pytest.param({"inner": array.array("b", [1])}, id="array in a dict"),
        pytest.param(OrderedDict(a=[1]), id="OrderedDict"),
        pytest.param(defaultdict(list, a=[1]), id="defaultdict"),
        pytest.param(deque([[1]]), id="deque"),
        pytest.param(frozenset({1}), id="frozenset"),
        pytest.param(([1], [2]), id="lists in a tuple"),
        pytest.param([{1, 2}], id="set in a list"),
        pytest.param(Note(["a"]), id="object"),
        pytest.param([Shout("a")], id="subclass of str in a list"),
        pytest.param({datetime.date(2030, 1, 1): [1]}, id="date as a key"),
        pytest.param({(1, 2): [1]}, id="tuple as a key"),
    ],
)
def test_values_with_something_changeable_deep_inside_are_copied_whole(value: Any) -> None:
    require_independence({"type": "t", "value": value})


def test_a_list_that_appears_twice_is_still_one_list_within_each_copy_alone() -> None:
    shared = [1]
    make_copy = copier({"type": "t", "a": shared, "b": shared})

    first, second = make_copy(), make_copy()
    first["a"].append(2)

    assert first["b"] == [1, 2]
    assert second == {"type": "t", "a": [1], "b": [1]}


def test_a_message_that_contains_itself_is_copied() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    make_copy = copier({"type": "t", "loop": loop})

    copied = make_copy()["loop"]

    assert copied is not loop
    assert copied[1] is copied
    assert copied[0] == 1


@pytest.mark.parametrize("depth", [10, 100])
def test_a_message_that_is_nested_deep_is_copied(depth: int) -> None:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]

    require_independence({"type": "t", "nested": nested})


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]])
def test_a_subclass_of_an_unchangeable_type_may_carry_what_can_change(
    wrap: Callable[[Any], Any],
) -> None:
    shout = Shout("a")
    shout.marks = ["!"]
    make_copy = copier({"type": "t", "value": shout, "wrapped": wrap(shout)})

    first, second = make_copy()["value"], make_copy()["value"]

    assert (first, first.marks) == ("a", ["!"])
    assert len({id(shout.marks), id(first.marks), id(second.marks)}) == 3


def test_a_message_of_a_subclass_of_dict_is_copied() -> None:
    message: dict[str, Any] = OrderedDict(type="t", body=[1])

    copied = copier(message)()

    assert copied == {"type": "t", "body": [1]}
    assert copied["body"] is not message["body"]
    assert type(copier(OrderedDict(type="t"))()) is dict


@pytest.mark.parametrize(
    "value", ["x", 1, None, datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)]
)
def test_what_cannot_change_is_shared_and_not_copied(value: object) -> None:
    message = {"type": "t", "value": value}

    assert copier(message)()["value"] is value


def test_only_exact_types_count_as_unchangeable() -> None:
    assert not {list, dict, set, bytearray, memoryview, tuple} & IMMUTABLE
    assert not CONTAINERS & IMMUTABLE


def test_what_is_shared_many_times_is_looked_at_once() -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]

    copied = copier({"type": "t", "value": value})()["value"]

    assert copied[0] is copied[1]


class Harbour(datetime.tzinfo):
    """A time zone that no pickle takes."""

    def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=1)

    def dst(self, moment: datetime.datetime | None) -> None:
        return None

    def __reduce__(self) -> str:
        raise AttributeError("not to be pickled")

    def __deepcopy__(self, memo: object) -> Harbour:
        return self


def test_a_time_zone_that_cannot_be_flattened_is_copied_another_way() -> None:
    moment = datetime.datetime(2030, 1, 1, tzinfo=Harbour())
    make_copy = copier({"type": "t", "moments": [moment]})

    first, second = make_copy(), make_copy()

    assert first == second == {"type": "t", "moments": [moment]}
    assert first["moments"] is not second["moments"]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "t", "n": 1},
        {"type": "t", "n": [{"a": (1, "x")}]},
        {"type": "t", "n": [datetime.date(2030, 1, 1), decimal.Decimal("1.5"), uuid.UUID(int=7)]},
    ],
)
def test_plain_messages_are_never_deep_copied(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("deepcopy was called")

    monkeypatch.setattr(copy, "deepcopy", refuse)

    assert copier(body)() == body


def deep(levels: int) -> Any:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (threading.Lock, "cannot pickle '_thread.lock' object"),
        (lambda: memoryview(b"x"), "cannot pickle"),
        (lambda: [(n for n in range(3))], "cannot pickle 'generator' object"),
        (lambda: deep(100_000), "maximum recursion depth exceeded"),
    ],
    ids=["lock", "memoryview", "generator in a list", "nested too deep"],
)
def test_a_message_that_cannot_be_copied_says_so(make: Callable[[], Any], cause: str) -> None:
    message = {"type": "chat.message", "value": make()}

    with pytest.raises(TypeError) as caught:
        copier(message)

    text = str(caught.value)
    assert text.startswith(f"message of type 'chat.message' cannot be copied: {cause}")
    assert text.endswith("; expected strings, bytes, numbers, None, lists and dicts")

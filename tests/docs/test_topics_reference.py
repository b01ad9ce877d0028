"""The reference of topics names what there is, as it is."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from channels import publish, topics
from channels.topics import Limits, Reliable, Topic

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "topics.md").read_text()


@pytest.mark.parametrize("name", [*topics.__all__, "publish", "apublish", "forget", "aforget"])
def test_every_name_is_there(name: str) -> None:
    assert name in PAGE


@pytest.mark.parametrize("thing", [Limits, Reliable], ids=["Limits", "Reliable"])
def test_defaults_are_as_in_the_code(thing: type) -> None:
    parameters = inspect.signature(thing).parameters.values()
    text = ", ".join(f"{one.name}={one.default!r}" for one in parameters)

    assert f"`{thing.__name__}({text})`" in PAGE


def test_attributes_of_a_topic_have_their_defaults() -> None:
    for name in ("presence", "presence_grace", "call_timeout", "max_calls"):
        assert f"| `{name}` | `{getattr(Topic, name)!r}` |" in PAGE
    assert f'| `slow_consumer` | `"{Topic.slow_consumer}"` |' in PAGE


def test_the_signature_of_publish_is_as_in_the_code() -> None:
    parameters = inspect.signature(publish.publish).parameters.values()
    shown = [
        one.name
        if one.default is one.empty
        else f'{one.name}="{one.default}"'
        if isinstance(one.default, str)
        else f"{one.name}={one.default!r}"
        for one in parameters
    ]

    assert f"`publish({', '.join([*shown[:2], '*', *shown[2:]])})`" in PAGE

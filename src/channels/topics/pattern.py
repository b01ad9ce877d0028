"""Patterns of topic names, such as ``room.<int:pk>``, with Django's path converters."""

from __future__ import annotations

import re
from typing import Any, Final

from django.urls.converters import get_converters

from channels._core.names import GROUP_NAME, MAX_NAME_LENGTH

_PART: Final = re.compile(r"<(?:(?P<converter>[A-Za-z_]+):)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)>")
ONE_PART: Final = "[^.]+"
"""What ``str`` stands for here: names are parted by dots, where paths are by slashes."""


class Pattern:
    """One kind of topic names.

    Args:
        text: Letters, digits, ``-``, ``_`` and ``.``, and parts ``<name>`` or ``<converter:name>``.

    Attributes:
        text: As given.
        names: Of its parts, in order.

    Raises:
        ValueError: It is no such text.
    """

    def __init__(self, text: str) -> None:
        self.text: str = text
        self._converters: dict[str, Any] = {}
        self._expression = re.compile(self._compile(text))

    @property
    def names(self) -> list[str]:
        """Names of the parts, in order."""
        return list(self._converters)

    @property
    def shape(self) -> str:
        """The pattern without the names of its parts: those of one shape match the same names."""
        return re.sub(r"\(\?P<\w+>", "(", self._expression.pattern)

    def match(self, topic: str) -> dict[str, Any] | None:
        """Return the parts of a topic's name, or ``None`` if it is none of these."""
        found = self._expression.fullmatch(topic)
        if found is None:
            return None
        try:
            return {
                name: converter.to_python(found[name])
                for name, converter in self._converters.items()
            }
        except ValueError:
            # How a converter says that the text is not one of its own.
            return None

    def name(self, **parts: Any) -> str:
        """Return the name of the topic with these parts.

        Raises:
            TypeError: A part is missing or unknown.
            ValueError: A part does not fit, or the name is too long.
        """
        if set(parts) != set(self._converters):
            raise TypeError(f"{self.text!r} takes {self.names}, got {sorted(parts)}")
        name = _PART.sub(
            lambda part: self._converters[part["name"]].to_url(parts[part["name"]]), self.text
        )
        if not is_name(name) or self.match(name) is None:
            raise ValueError(f"{name!r} is no name for {self.text!r}")
        return name

    def _compile(self, text: str) -> str:
        expression, end = "", 0
        converters = get_converters()
        for part in _PART.finditer(text):
            kind, name = part["converter"] or "str", part["name"]
            if kind not in converters:
                known = ", ".join(sorted(converters))
                raise ValueError(f"{text!r}: no path converter {kind!r}; expected one of: {known}")
            if name in self._converters:
                raise ValueError(f"{text!r} has two parts {name!r}")
            converter = self._converters[name] = converters[kind]
            regex = ONE_PART if kind == "str" else converter.regex
            expression += f"{self._literal(text[end : part.start()])}(?P<{name}>{regex})"
            end = part.end()
        return expression + self._literal(text[end:])

    def _literal(self, text: str) -> str:
        if text and not is_name(text):
            raise ValueError(
                f"{self.text!r} is no pattern of topics: expected letters, digits, '-', '_', '.' "
                "and parts such as <int:pk>"
            )
        return re.escape(text)


def is_name(name: object) -> bool:
    """Return whether ``name`` can be the name of a topic: 1-99 of ``[A-Za-z0-9._-]``."""
    return (
        isinstance(name, str) and len(name) < MAX_NAME_LENGTH and GROUP_NAME.match(name) is not None
    )

"""What a topic accepts from clients: methods whose arguments are checked by their annotations."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.core.serializers.json import DjangoJSONEncoder

from channels.exceptions import ChannelsError

F = TypeVar("F", bound=Callable[..., Any])


class CallError(ChannelsError):
    """Raised in a call: the client gets an error with this code.

    Args:
        code: Lower case, with underscores.
        message: In words, for whoever reads it in the browser.
    """

    def __init__(self, code: str, message: str = "") -> None:
        """Keep what the client is told."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def call(method: F) -> F:
    """Let clients call this method of a topic; sync or async.

    Its parameters are the members of the call's ``data``, checked by their annotations: whatever
    ``msgspec.convert`` knows, so also dataclasses, ``Literal`` and ``Annotated`` with
    ``msgspec.Meta``. What it returns, as JSON, is the reply.
    """
    method.is_call = True  # type: ignore[attr-defined]
    return method


class Accepted(NamedTuple):
    """One call that a topic class accepts.

    Attributes:
        arguments: The struct of its ``data``.
    """

    arguments: type[msgspec.Struct]

    def decode(self, data: msgspec.Raw) -> dict[str, Any]:
        """Return the arguments by name.

        Raises:
            msgspec.ValidationError: The data is not what the call takes.
        """
        return msgspec.structs.asdict(msgspec.json.decode(data, type=self.arguments))


def accepted_by(cls: type) -> dict[str, Accepted]:
    """Return the calls of a topic class by name.

    Raises:
        TypeError: A parameter has no annotation, or one that cannot be checked.
    """
    return {
        name: _accepted(f"{cls.__name__}.{name}", method)
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if getattr(method, "is_call", False)
    }


def encode_data(data: Any) -> str:
    """Return data for clients as JSON text in one line; dates and such as Django writes them.

    Raises:
        TypeError: It holds what JSON cannot.
        ValueError: It holds a number that is none in JSON.
    """
    return json.dumps(
        data, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def _accepted(name: str, method: Callable[..., Any]) -> Accepted:
    hints = typing.get_type_hints(method, include_extras=True)
    fields: list[Any] = []
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise TypeError(f"{name} takes {parameter}; a call names each of its parameters")
        if parameter.name not in hints:
            raise TypeError(f"{name} has no annotation for {parameter.name!r} to check it by")
        field = (parameter.name, hints[parameter.name])
        fields.append(
            field if parameter.default is parameter.empty else (*field, parameter.default)
        )
    try:
        arguments = msgspec.defstruct(
            "arguments", fields, forbid_unknown_fields=True, kw_only=True, frozen=True
        )
        msgspec.json.Decoder(arguments)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    return Accepted(arguments)

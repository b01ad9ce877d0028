"""Independent copies of one message, as cheap as its shape allows.

No two receivers, nor the sender, may ever share mutable state. A message whose values are all
immutable needs a shallow copy for each receiver. One with nested containers of such values is
flattened to bytes once and rebuilt for each receiver. Anything else is deep-copied.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import functools
import pickle
import uuid
from collections.abc import Callable
from typing import Any, Final

from channels.typing import Message

IMMUTABLE: Final = frozenset(
    {
        str,
        bytes,
        int,
        float,
        bool,
        complex,
        type(None),
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        uuid.UUID,
    }
)
CONTAINERS: Final = frozenset({list, tuple, set, frozenset})


def copier(message: Message) -> Callable[[], Message]:
    """Return a function that makes an independent copy of ``message`` as it is now.

    Raises:
        TypeError: A value cannot be copied, or is nested too deep.
    """
    for value in message.values():
        if type(value) not in IMMUTABLE:
            break
    else:
        return dict(message).copy
    if _is_plain(message):
        # A time zone of someone else's, or a great depth, may still not go into a pickle.
        with contextlib.suppress(pickle.PicklingError, TypeError, AttributeError, RecursionError):
            flat = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            return functools.partial(pickle.loads, flat)  # our own bytes, from this process
    return functools.partial(copy.deepcopy, _deep_copy(message))


def _is_plain(message: Message) -> bool:
    """Return whether the containers in it, and all they hold, are of exactly the known types."""
    seen: set[int] = set()
    pending: list[Any] = [message]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind in IMMUTABLE or id(value) in seen:
            continue
        seen.add(id(value))
        if kind is dict:
            pending.extend(value)
            pending.extend(value.values())
        elif kind in CONTAINERS:
            pending.extend(value)
        else:
            return False
    return True


def _deep_copy(message: Message) -> Message:
    try:
        return copy.deepcopy(message)
    except (TypeError, RecursionError) as error:
        raise TypeError(
            f"message of type {message.get('type')!r} cannot be copied: {error}; "
            "expected strings, bytes, numbers, None, lists and dicts"
        ) from error

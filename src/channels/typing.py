"""The words every ASGI callable here is typed with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Event = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[Any]]
# Called with a scope, a receive and a send. Left open, since others' applications (Django's own,
# asgiref's) type these three more narrowly than a plain dict and are just as welcome.
App = Callable[..., Awaitable[Any]]

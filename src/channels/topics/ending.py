"""The signal that connections must end, and which connections it names. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """The signal that connections must end.

    Attributes:
        user: Those of the user with this key.
        session: Those of the session whose key has this digest.
        auth: Of the user, only those that signed in with another password than this stands for.
    """

    user: str | None = None
    session: str | None = None
    auth: str | None = None

    def pack(self) -> bytes:
        """Return it as brokers carry it."""
        return msgspec.json.encode(self)

    @classmethod
    def unpack(cls, body: bytes) -> Ended:
        """Read what ``pack`` made.

        Raises:
            msgspec.DecodeError: It did not.
        """
        return msgspec.json.decode(body, type=cls)


class Holders:
    """Channels of connections by their user and session."""

    def __init__(self) -> None:
        self._by_user: dict[str, set[str]] = {}
        self._by_session: dict[str, set[str]] = {}
        self._keys: dict[str, tuple[str | None, str | None]] = {}

    def note(self, channel: str, *, user: str | None, session: str | None) -> None:
        """Know whose a connection is, in place of what was known. O(1).

        Args:
            channel: Of the connection.
            user: The key of its user, if it has one.
            session: The digest of its session's key, if it has one.
        """
        self.forget(channel)
        self._keys[channel] = user, session
        for key, found in ((user, self._by_user), (session, self._by_session)):
            if key is not None:
                found.setdefault(key, set()).add(channel)

    def forget(self, channel: str) -> None:
        """Know of it no more. O(1)."""
        keys = self._keys.pop(channel, (None, None))
        for key, found in zip(keys, (self._by_user, self._by_session), strict=True):
            if key is not None:
                found[key].discard(channel)
                if not found[key]:
                    del found[key]

    def named_by(self, ended: Ended) -> set[str]:
        """Return the channels of those that a signal names. O(those)."""
        found: set[str] = set()
        if ended.user is not None:
            found |= self._by_user.get(ended.user, set())
        if ended.session is not None:
            found |= self._by_session.get(ended.session, set())
        return found


def key_of(user: Any) -> str | None:
    """Return the key of a user, or ``None`` for nobody in particular."""
    key = getattr(user, "pk", None)
    return None if key is None else str(key)


def auth_of(user: Any) -> str | None:
    """Return what stands for a user's password in signals, or ``None`` where there is none."""
    hash_of = getattr(user, "get_session_auth_hash", None)
    return None if hash_of is None else digest_of(hash_of())


def digest_of(secret: str) -> str:
    """Return what stands for a secret in signals, such as the key of a session."""
    return hashlib.sha256(secret.encode()).hexdigest()


def ended_user(user: Any) -> Ended:
    """Return the signal that ends the connections of a user."""
    return Ended(user=str(user.pk))


def changed_user(user: Any) -> Ended:
    """Return the signal that ends those which have signed in with another password."""
    return Ended(user=str(user.pk), auth=auth_of(user))


def ended_session(session_key: str) -> Ended:
    """Return the signal that ends the connections of a session."""
    return Ended(session=digest_of(session_key))

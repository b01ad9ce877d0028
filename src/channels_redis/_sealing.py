"""Bytes as they are kept in Redis: encrypted where the layer has keys, for as long as they live."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

from channels_redis.serializers import Key, MsgPackSerializer

MARK: Final = 16
"""Bytes that stand before what is sealed with a mark."""


class Seal:
    """Seals and opens bytes.

    Args:
        keys: Encrypt with the first, open with any; none leaves bytes as they are.

    Attributes:
        significant: How many bytes at the start of what ``seal_marked`` gives tell whether the
            text is the same, or -1 for all.
    """

    def __init__(self, keys: Sequence[Key] | None) -> None:
        self._crypter: Any = MsgPackSerializer(keys).crypter
        first = keys[0] if keys else b""
        self._secret = first.encode() if isinstance(first, str) else first
        self.significant: int = -1 if self._crypter is None else MARK

    def seal(self, data: bytes) -> bytes:
        """Return the bytes that are kept for ``data``."""
        sealed: bytes = data if self._crypter is None else self._crypter.encrypt(data)
        return sealed

    def open(self, data: bytes) -> bytes:
        """Return what ``seal`` gave these bytes for, however long ago.

        Raises:
            cryptography.fernet.InvalidToken: No key fits.
        """
        opened: bytes = data if self._crypter is None else self._crypter.decrypt(data)
        return opened

    def seal_marked(self, text: str, *context: str) -> bytes:
        """Return what is kept for ``text``: the same text in the same context begins alike."""
        data = text.encode()
        if self._crypter is None:
            return data
        mark = hmac.new(self._secret, "\0".join((*context, text)).encode(), hashlib.sha256)
        return mark.hexdigest()[:MARK].encode() + self.seal(data)

    def open_marked(self, data: bytes) -> str:
        """Return the text that ``seal_marked`` gave these bytes for.

        Raises:
            cryptography.fernet.InvalidToken: No key fits.
            UnicodeDecodeError: They are of another origin.
        """
        return self.open(data if self._crypter is None else data[MARK:]).decode()

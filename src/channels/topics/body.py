"""What a publication carries through the broker: JSON that goes to browsers as it is. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

LONGEST_KEY: Final = 100


class Body(NamedTuple):
    """A publication as its publisher made it.

    Attributes:
        text: Its data, as JSON text in one line.
        exclude: The connection that is not to have it, or empty.
        key: What it is about, or empty: where an outbox keeps only the latest, one replaces the
            other.
    """

    text: str
    exclude: str = ""
    key: str = ""

    def pack(self) -> bytes:
        """Return its bytes: the two names, each ended by a line feed, and the data."""
        return f"{self.exclude}\n{self.key}\n{self.text}".encode()

    @classmethod
    def unpack(cls, data: bytes) -> Body:
        """Read its bytes.

        Raises:
            ValueError: They are none of ours.
        """
        exclude, key, text = data.decode().split("\n", 2)
        return cls(text, exclude, key)

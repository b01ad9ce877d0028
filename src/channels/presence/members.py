"""Who is in one topic, from which connection of which process, for as long as its lease. Pure."""

from __future__ import annotations

from collections import Counter

from channels.presence.state import Change, Present

Connection = tuple[str, str]
"""A process and the connection's id there."""


class Members:
    """The members of one topic and their connections; the caller passes ``now``.

    Args:
        version: Where the count of changes begins.

    Attributes:
        version: The number of the latest change.
    """

    __slots__ = ("_connections", "_counts", "_leases", "_shown", "version")

    def __init__(self, version: int = 0) -> None:
        self.version: int = version
        self._shown: dict[str, str] = {}
        self._connections: dict[Connection, str] = {}
        self._counts: Counter[str] = Counter()
        self._leases: dict[str, float] = {}

    def __len__(self) -> int:
        """Count the members."""
        return len(self._shown)

    def present(self) -> Present:
        """Return who is there."""
        return Present(self.version, dict(self._shown))

    def enter(self, connection: Connection, key: str, shown: str) -> Change | None:
        """Note a connection of the member ``key``; return what that changes. O(1)."""
        left = self._release(connection) if self._connections.get(connection, key) != key else []
        if connection not in self._connections:
            self._connections[connection] = key
            self._counts[key] += 1
        is_new = self._shown.get(key) != shown
        self._shown[key] = shown
        return self._change({key: shown} if is_new else {}, left)

    def leave(self, connection: Connection) -> Change | None:
        """Forget a connection; return what that changes. O(1)."""
        return self._change({}, self._release(connection))

    def renew(self, node: str, until: float) -> None:
        """Let the connections of ``node`` stay until then."""
        self._leases[node] = until

    def expire(self, now: float) -> Change | None:
        """Forget the connections of processes whose lease has ended. O(what is forgotten)."""
        ended = {node for node, until in self._leases.items() if until <= now}
        if not ended:
            return None
        for node in ended:
            del self._leases[node]
        gone = [connection for connection in self._connections if connection[0] in ended]
        return self._change({}, [key for each in gone for key in self._release(each)])

    def clear(self) -> Change | None:
        """Forget everybody."""
        left = list(self._shown)
        self._shown.clear()
        self._connections.clear()
        self._counts.clear()
        return self._change({}, left)

    def _release(self, connection: Connection) -> list[str]:
        key = self._connections.pop(connection, None)
        if key is None:
            return []
        self._counts[key] -= 1
        if self._counts[key]:
            return []
        del self._counts[key]
        del self._shown[key]
        return [key]

    def _change(self, joined: dict[str, str], left: list[str]) -> Change | None:
        if not joined and not left:
            return None
        self.version += 1
        return Change(self.version, joined, [key for key in left if key not in joined])

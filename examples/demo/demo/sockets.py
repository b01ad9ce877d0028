"""What every socket of the demo does first: let in only people who are signed in."""

from __future__ import annotations

from typing import Any, NoReturn

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer

# 4000 to 4999 are the application's own codes; static/demo/socket.js acts on these two.
SIGN_IN_FIRST = 4401
NOT_FOUND = 4404


class SignedInConsumer(AsyncJsonWebsocketConsumer):
    """A JSON socket for signed-in people; subclasses override ``entered``."""

    async def connect(self) -> None:
        """Accept the socket, then let the person in or say why not."""
        # A socket that is refused before it is accepted gives the browser no code at all.
        await self.accept()
        if not self.scope["user"].is_authenticated:
            await self.refuse(SIGN_IN_FIRST, "Sign in first.")
        await self.entered()

    async def entered(self) -> None:
        """Start serving; ``self.scope["user"]`` is signed in."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Answer a frame; most sockets of the demo only talk and never listen."""
        await self.send_error("This socket takes no requests.")

    async def join(self, group: str) -> None:
        """Join ``group`` until the socket ends: the library leaves all of ``self.groups``."""
        await self.channel_layer.group_add(group, self.channel_name)
        self.groups.append(group)

    async def send_error(self, text: str, **details: Any) -> None:
        """Tell the person what was wrong with a frame; the socket stays open."""
        await self.send_json({"kind": "error", "text": text, **details})

    async def refuse(self, code: int, reason: str) -> NoReturn:
        """Close with a code that tells the browser not to come back, and stop."""
        await self.close(code=code, reason=reason)
        raise StopConsumer

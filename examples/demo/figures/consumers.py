"""A consumer and a group, as Django Channels has them, beside the topics of the other pages."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

GROUP = "waves"
SIGN_IN_FIRST = 4401  # 4000 to 4999 are the application's own codes


class WavesConsumer(AsyncJsonWebsocketConsumer):
    """One wave: its splashes reach every other, which gives the dashboard something to show."""

    async def connect(self) -> None:
        """Let in people who are signed in."""
        await self.accept()  # before it a browser would not hear the code
        if not self.scope["user"].is_authenticated:
            await self.close(SIGN_IN_FIRST, "Sign in first.")
            return
        await self.channel_layer.group_add(GROUP, self.channel_name)
        self.groups.append(GROUP)  # the library leaves these when the socket ends

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Tell all waves of a splash; answer anything else."""
        if content == {"action": "splash"}:
            await self.channel_layer.group_send(GROUP, {"type": "wave.splash"})
        else:
            await self.send_json({"kind": "error", "text": 'The only action is "splash".'})

    async def wave_splash(self, event: dict[str, Any]) -> None:
        """One of the waves has splashed."""
        await self.send_json({"kind": "splash"})

"""The socket of one dashboard."""

from __future__ import annotations

from typing import Any

from demo.sockets import SignedInConsumer
from figures.ticker import GROUP, recent


class FiguresConsumer(SignedInConsumer):
    """Sends the last minute and a half on connecting, then the figures of each second."""

    async def entered(self) -> None:
        """Join the group that the ticker sends to, and draw what came before."""
        await self.join(GROUP)
        await self.send_json({"kind": "points", "points": list(recent)})

    async def figures_point(self, event: dict[str, Any]) -> None:
        """Another second has passed."""
        await self.send_json({"kind": "points", "points": [event["point"]]})

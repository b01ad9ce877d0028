"""What a consumer needs that serves topics, whatever carries the frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer
from channels.db import needs_clean_up
from channels.topics.session import Identity, Limits, Refused, Session
from channels.topics.site import here


class ServesTopics(AsyncConsumer):
    """Has a session, whose frames come over a channel layer of the process's own.

    Attributes:
        limits: What one connection may ask for.
    """

    limits: ClassVar[Limits] = Limits()
    session: Session | None = None

    async def authenticate(self, token: str) -> Identity:
        """Return who ``token`` stands for; to be overridden where clients send tokens.

        Raises:
            Refused: It is not accepted; its text is for the client.
        """
        raise Refused("this site takes no tokens")

    def open_session(
        self,
        *,
        send: Callable[[str], Awaitable[Any]],
        close: Callable[[int, str], Awaitable[None]],
    ) -> Session:
        """Begin, and return the session; it ends with the connection.

        Args:
            send: Sends a text frame.
            close: Closes the connection with a code and a reason.
        """
        self.session = Session(
            here(),
            self.channel_name,
            self.scope,
            send=send,
            close=close,
            clean_up=self._clean_up,
            authenticate=self.authenticate,
            limits=self.limits,
        )
        return self.session

    def _find_layer(self) -> Any:
        return here().local

    async def _release(self, channel: str | None) -> None:
        """Leave every topic also where no disconnect was read, and let calls end that run."""
        try:
            if self.session is not None:
                self.session.end(at_once=_is_cancelled())
                await self.session.calls_end()
        finally:
            await super()._release(channel)

    async def _clean_up(self) -> None:
        if needs_clean_up(self._lane):
            await self._close_old_connections()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""The process behind ``runworker``: messages of named channels reach their consumers.

Each channel has a listener, which is started again when it fails, and at most one instance of the
application. A listener takes a message from the layer only once the one before has been taken
from it, so a slow consumer leaves its messages where another worker can have them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, cast

from asgiref.compatibility import guarantee_single_callable
from asgiref.server import StatelessServer

from channels import telemetry
from channels.conf import channels_settings
from channels.exceptions import InvalidChannelLayerError, InvalidNameError, NoHandlerError
from channels.layers import channel_layers, get_channel_layer
from channels.typing import App, Message, Scope

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 30.0
"""Seconds between the failure of a listener and its restart; doubled from one to the other."""

Instance = dict[str, Any]

logger: logging.Logger = logging.getLogger("django.channels.worker")


class Worker(StatelessServer):
    """Runs consumers for messages that are sent to named channels.

    Delivery is at most once, and in order per channel. Messages that wait here reach the next
    instance when one ends. They are counted as dropped when the worker stops, and when the
    instance before has ended without taking any.

    Args:
        application: ASGI application for scopes of type ``"channel"``.
        channels: Names of the channels to listen on.
        channel_layer: The layer they are on.
        max_applications: Instances kept; beyond it the least recently used one is cancelled.

    Attributes:
        application_instances: The running instances, by channel.

    Raises:
        ValueError: There is no channel layer.
    """

    application_instances: dict[str, Instance]

    def __init__(
        self,
        application: App,
        channels: Sequence[str],
        channel_layer: Any,
        max_applications: int = 1000,
    ) -> None:
        super().__init__(application, max_applications)  # type: ignore[no-untyped-call]
        if channel_layer is None:
            raise ValueError("A worker needs a channel layer, not None: configure CHANNEL_LAYERS.")
        self.channels = channels
        self.channel_layer = channel_layer
        self._running: set[asyncio.Task[None]] = set()
        self._mute: set[str] = set()

    def run(self) -> None:
        """Listen until Ctrl-C or SIGTERM, then end every instance and return."""
        try:
            asyncio.run(self._run_until_terminated())
        except (KeyboardInterrupt, asyncio.CancelledError):
            logger.info("Worker has stopped.")

    async def arun(self) -> None:
        """Listen until cancelled, then end every instance and wait for it."""
        try:
            await self.handle()
        finally:
            await self._end_instances()

    async def handle(self) -> None:
        """Run a listener for each channel; start one that fails again, at growing intervals."""
        async with asyncio.TaskGroup() as listeners:
            for channel in self.channels:
                listeners.create_task(self._supervise(channel))

    async def listener(self, channel: str) -> None:
        """Hand the messages of ``channel`` to its instance of the application, for ever.

        Cancelling it loses no message.

        Raises:
            ValueError: A message has no type. It was taken; no instance has seen it.
            Exception: What ``receive`` of the layer raised.
        """
        scope = {"type": "channel", "channel": channel}
        while True:
            await self._until_taken(channel)
            message = await self.channel_layer.receive(channel)
            if not message.get("type"):
                raise NoHandlerError(
                    f"Worker received a message without a type on channel {channel!r}; "
                    f"expected a dict with a 'type', got the keys {list(message)!r}"
                )
            self.get_or_create_application_instance(channel, scope).put_nowait(message)

    async def application_send(self, scope: Scope, message: Message) -> None:
        """Drop what a consumer sends to its client, for there is none; say so once a channel."""
        telemetry.emit(telemetry.SendIgnored(str(message.get("type"))))
        channel = scope["channel"]
        if channel not in self._mute:
            self._mute.add(channel)
            logger.warning(
                "The consumer of channel %r sent %r to its client, but a worker has none; dropped, "
                "and not reported again. Use self.channel_layer to reach other consumers.",
                channel,
                message.get("type"),
            )

    async def application_exception(
        self, exception: BaseException, application_details: Instance
    ) -> None:
        """Log what an instance raised. Other messages of its channel go to the next one."""
        logger.error(
            "The consumer of channel %r failed: %r",
            application_details["scope"]["channel"],
            exception,
            exc_info=exception,
        )

    def get_or_create_application_instance(
        self, scope_id: str, scope: Scope
    ) -> asyncio.Queue[Message]:
        """Return the input queue of a channel's instance, started now if there is none."""
        instance = self.application_instances.get(scope_id)
        if instance is None:
            while len(self.application_instances) > self.max_applications:
                self.delete_oldest_application_instance()  # type: ignore[no-untyped-call]
            instance = {"input_queue": asyncio.Queue(), "scope": scope}
            self.application_instances[scope_id] = instance
            instance["future"] = asyncio.create_task(self._serve(scope_id, instance))
            self._running.add(instance["future"])
            instance["future"].add_done_callback(self._running.discard)
        instance["last_used"] = time.time()
        queue: asyncio.Queue[Message] = instance["input_queue"]
        return queue

    def delete_application_instance(self, scope_id: str) -> None:
        """Cancel a channel's instance; messages it has not taken are dropped, counted."""
        instance = self.application_instances.pop(scope_id)
        instance["future"].cancel()
        unread = _drain(instance["input_queue"])
        if unread:
            logger.warning("Worker dropped %d message(s) of channel %r.", len(unread), scope_id)
            telemetry.emit(telemetry.MessageDropped(scope_id, "closed", len(unread)))

    async def _run_until_terminated(self) -> None:
        if threading.current_thread() is threading.main_thread():
            # Event loops on Windows take no signals.
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _this_task().cancel)
        await self.arun()

    async def _supervise(self, channel: str) -> None:
        delay = FIRST_DELAY
        while True:
            started = time.monotonic()
            try:
                return await self.listener(channel)
            except NoHandlerError as error:
                logger.warning("%s; skipped.", error)
                telemetry.emit(telemetry.MessageDropped(channel, "untyped"))
                continue
            except Exception as error:
                if time.monotonic() - started > delay:
                    delay = FIRST_DELAY
                logger.exception("Listener of channel %r failed; again in %g s.", channel, delay)
                telemetry.emit(telemetry.ListenerRestarted(channel, repr(error)))
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _until_taken(self, channel: str) -> None:
        instance = self.application_instances.get(channel)
        if instance is not None:
            await instance["input_queue"].join()

    async def _serve(self, channel: str, instance: Instance) -> None:
        queue: asyncio.Queue[Message] = instance["input_queue"]
        taken = 0

        async def receive() -> Message:
            nonlocal taken
            message = await queue.get()
            queue.task_done()
            taken += 1
            return message

        async def send(message: Message) -> None:
            await self.application_send(instance["scope"], message)

        application: App = guarantee_single_callable(self.application)  # type: ignore[no-untyped-call]
        try:
            await application(instance["scope"], receive, send)
        except (Exception, asyncio.CancelledError) as error:
            if _this_task().cancelling():
                raise
            await self.application_exception(error, instance)
        finally:
            self._has_ended(channel, instance, taken)

    def _has_ended(self, channel: str, instance: Instance, taken: int) -> None:
        """Give what an ended instance has not taken to a new one, in order."""
        if self.application_instances.get(channel) is not instance:
            return
        if _this_task().cancelling():
            self.delete_application_instance(channel)
            return
        del self.application_instances[channel]
        unread = _drain(instance["input_queue"])
        if unread and not taken:
            # Otherwise an application that never takes any would be started for ever.
            message = unread.pop(0)
            logger.error(
                "The application took no message of channel %r; dropped one of type %r.",
                channel,
                message["type"],
            )
            telemetry.emit(telemetry.MessageDropped(channel, "closed"))
        for message in unread:
            self.get_or_create_application_instance(channel, instance["scope"]).put_nowait(message)

    async def _end_instances(self) -> None:
        for channel in tuple(self.application_instances):
            self.delete_application_instance(channel)
        if self._running:
            grace = channels_settings().disconnect_grace
            _, stuck = await asyncio.wait(self._running, timeout=grace)
            for task in stuck:
                logger.error("%r still runs %g s after it was cancelled.", task, grace)


def require_layer(alias: str, channels: Sequence[str]) -> Any:
    """Return the channel layer ``alias``, once it is sure that it can have these channels.

    Raises:
        InvalidChannelLayerError: There is no such layer, or it is configured wrongly.
        InvalidNameError: A channel name breaks the grammar.
    """
    layer = get_channel_layer(alias)
    if layer is None:
        known = ", ".join(sorted(channel_layers.configs)) or "none"
        raise InvalidChannelLayerError(
            f"CHANNEL_LAYERS has no layer {alias!r}; configured: {known}."
        )
    # A third party's layer need not check names.
    require = getattr(layer, "require_valid_channel_name", lambda name: True)
    for channel in channels:
        try:
            require(channel)
        except TypeError as error:
            raise InvalidNameError(f"{error} Got {channel!r}.", name=channel) from error
    return layer


def _this_task() -> asyncio.Task[Any]:
    # Only called by code that runs in a task.
    return cast("asyncio.Task[Any]", asyncio.current_task())


def _drain(queue: asyncio.Queue[Message]) -> list[Message]:
    messages = []
    while not queue.empty():
        messages.append(queue.get_nowait())
        queue.task_done()
    return messages

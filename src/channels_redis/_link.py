"""Calls to one shard: commands out in order, answers or an error in time.

The order is that of the calls, also across a break: what has no answer yet is written again, in
its old order, on the new connection. So a call must be *repeatable*, that is, do no harm when the
server has seen it already; one that is not fails at the break. A call may carry a ``Stamp``,
replaced by ``sender:number`` when it is written: numbers rise in the order in which the server
executes calls, and a repeated call keeps its number, so a number that is not above the latest
one from the same sender was seen before.

A server that refuses because it is no longer the right one, or not yet, counts as a break: it
has not executed the call, which gets a new number.

A call that nobody waits for is *posted*: whoever posts it goes on and may post the next one, so
that several go in one write and their answers come in one read.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import hiredis
import redis.exceptions

from channels_redis._lifeline import Command, Lifeline, Open, is_refusal
from channels_redis._wire import Reply, Wire, pack
from channels_redis.exceptions import RedisRefusedError, RedisUnavailableError

LAST_CHANCE: Final = 1.0
"""Seconds that a call has at least, however long the shard has been away."""
WATCH_INTERVAL: Final = 0.5
"""Seconds between two looks at calls without an answer."""
MOST_PENDING: Final = 10_000
"""Calls without an answer; one more fails at once."""
MOST_POSTED: Final = 64
"""Calls without an answer; while there are so many, nothing is posted."""
WRONG_SERVER: Final = frozenset(
    {
        "ASK",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MOVED",
        "NOSCRIPT",
        "READONLY",
        "TRYAGAIN",
    }
)
"""First words of refusals that another attempt, perhaps elsewhere, may turn into an answer."""


class Stamp:
    """Stands in a command for what is known when it is written.

    Args:
        form: May name the ``sender``, the ``number`` of the call, and the ``server``.
    """

    __slots__ = ("form",)

    def __init__(self, form: str = "{sender}:{number}") -> None:
        self.form = form


STAMP: Final = Stamp()
NUMBER: Final = Stamp("{number}")
SERVER: Final = Stamp("{server}")
"""Run id of the server that gets the command; of links that ask for it with ``ASK_SERVER``."""
ASK_SERVER: Final[Command] = ("INFO", "server")
"""Part of a greeting."""


class Answer(Protocol):
    """What takes the answer to a call: a future, or ``Posted``."""

    def done(self) -> bool:
        """Return whether it has been given."""
        ...

    def set_result(self, reply: Reply, /) -> object:
        """Take the answer."""
        ...

    def set_exception(self, error: Exception, /) -> object:
        """Take why there is none."""
        ...


class Posted:
    """Takes the answer to a call that nobody waits for.

    Args:
        answered: Called with the answer, or with why there is none; it must not raise.
    """

    __slots__ = ("_answered", "_end", "_is_done")

    def __init__(self, answered: Callable[[Reply | Exception], object]) -> None:
        self._answered = answered
        self._is_done = False
        self._end: asyncio.Future[None] | None = None

    def done(self) -> bool:
        """Return whether the answer has been given."""
        return self._is_done

    def set_result(self, reply: Reply | Exception, /) -> None:
        """Take the answer, or why there is none."""
        self._is_done = True
        self._answered(reply)
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    set_exception = set_result

    def end(self) -> asyncio.Future[None]:
        """Return what is done as soon as this is; it is not done yet."""
        if self._end is None:
            self._end = asyncio.get_running_loop().create_future()
        return self._end


class Call:
    """One command and who takes its answer."""

    __slots__ = ("answer", "command", "deadline", "number", "repeatable")

    def __init__(self, command: Command, answer: Answer, deadline: float) -> None:
        self.command = command
        self.answer = answer
        self.deadline = deadline
        self.repeatable = True
        self.number = 0


class Link(Lifeline):
    """Calls to one shard, on the running event loop; see ``Lifeline`` for the connection.

    Args:
        open_connection: Connects to the shard's present server.
        name: For the log.
        logger: Where losses and returns are said.
        greeting: Commands for each new connection, before any other.
        patience: Seconds without an answer after which the connection counts as broken.
        budget: Seconds within which a call is answered or fails, or ``None`` for never. It begins
            with the call or, if that was before, when the shard went away.
        restored: Called after each time the connection is there, the first included.
    """

    def __init__(
        self,
        open_connection: Open,
        *,
        name: str,
        logger: logging.Logger,
        greeting: tuple[Command, ...] = (),
        patience: float = 10.0,
        budget: float | None = None,
        restored: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            open_connection, name=name, logger=logger, greeting=greeting, patience=patience
        )
        self.sender: str = secrets.token_hex(8)
        self._server = ""
        self._budget = budget
        self._restored = restored
        self._numbers = itertools.count(1)
        self._pending: deque[Call] = deque()
        self._written = 0
        # Of the present connection, whose server was not the right one, in their order.
        self._refused: list[Call] = []
        self._refusal_was: Exception = ConnectionError()
        # Nothing has come since a ``wait_for`` gave up.
        self._is_silent = False
        self._has_refused = False
        self._last_posted: Posted | None = None
        self._timer: asyncio.TimerHandle | None = None

    def call(self, *command: Any, repeatable: bool = True) -> asyncio.Future[Reply]:
        """Send a command; the future gets the answer.

        Raises:
            TypeError: A word is no ``str``, ``bytes``, ``int`` or ``float``. Nothing was sent.
            UnicodeEncodeError: A ``str`` is no text. Nothing was sent.

        Raises, out of the future:
            RedisUnavailableError: No answer within the budget, or the call may not be repeated
                and the connection broke. It may or may not have been executed.
            RedisRefusedError: The server wants another password; it was not executed.
            redis.exceptions.ResponseError: The server refused it.
        """
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if self.is_closed or len(self._pending) >= MOST_PENDING:
            answer.set_exception(self._error("is closed" if self.is_closed else "is overloaded"))
        else:
            self._begin(command, answer, repeatable)
        return answer

    def post(
        self,
        *command: Any,
        answered: Callable[[Reply | Exception], object],
        repeatable: bool = True,
    ) -> bool:
        """Send a command whose answer nobody waits for.

        Args:
            *command: Its words.
            answered: Called with the answer, or with what ``call`` would have raised; it must not
                raise.
            repeatable: See ``call``.

        Returns:
            Whether that was done; not without a connection, nor with ``MOST_POSTED`` unanswered,
            nor where the last answer was a refusal, which is to be raised to somebody.

        Raises:
            TypeError, UnicodeEncodeError: See ``call``.
        """
        if self._wire is None or self._has_refused or len(self._pending) >= MOST_POSTED:
            return False
        posted = Posted(answered)
        self._begin(command, posted, repeatable)
        self._last_posted = posted
        return True

    async def settle(self) -> None:
        """Return when all that was posted is answered; see ``wait_for``."""
        last = self._last_posted
        if last is not None and not last.done():
            await self.wait_for(last.end())

    async def wait_for(self, *answers: asyncio.Future[Any]) -> None:
        """Return when these have come, or after ``LAST_CHANCE`` seconds.

        At once where others were waited for in vain, and the server has not said anything since.
        """
        if not self._is_silent:
            _, missing = await asyncio.wait(answers, timeout=LAST_CHANCE)
            self._is_silent = bool(missing)

    def close(self) -> None:
        """Close the connection for good; what has no answer fails."""
        super().close()
        if self._timer is not None:
            self._timer.cancel()
        for call in [*self._refused, *self._pending]:
            self._fail(call, "is closed")
        self._refused.clear()
        self._pending.clear()

    def _begin(self, command: Command, answer: Answer, repeatable: bool) -> None:
        now = self._loop.time()
        call = Call(command, answer, self._deadline(now))
        call.repeatable = repeatable
        if not self._pending:
            self._heard_at = now
        # What cannot be written must not stand in line: the next answers are for others.
        if self._wire is not None and not self._refused:
            self._write(call, self._wire)
        else:
            pack(*(word for word in command if type(word) is not Stamp))
            self.connect()
        self._pending.append(call)
        if self._timer is None:
            self._watch()

    def _deadline(self, now: float) -> float:
        if self._budget is None:
            return float("inf")
        if self._away_since is None:
            return now + self._budget
        # The budget began when the shard went away: a later caller learns sooner that it has.
        return max(self._away_since + self._budget, now + LAST_CHANCE)

    def _write(self, call: Call, wire: Wire) -> None:
        # Looked for in one step, and not in one for each word.
        kinds = list(map(type, call.command))
        wire.write(pack(*(self._stamped(call, kinds) if Stamp in kinds else call.command)))
        self._written += 1

    def _stamped(self, call: Call, kinds: list[type]) -> Command:
        if not call.number:
            call.number = next(self._numbers)
        known = {"sender": self.sender, "number": call.number, "server": self._server}
        words = list(call.command)
        while Stamp in kinds:
            at = kinds.index(Stamp)
            words[at] = words[at].form.format_map(known)
            kinds[at] = str
        return tuple(words)

    def _replied(self, reply: Reply) -> None:
        self._is_silent = False
        self._heard_at = self._loop.time()
        if not self._written:
            return
        call = self._pending.popleft()
        self._written -= 1
        self._has_refused = isinstance(reply, hiredis.ReplyError)
        if not self._has_refused:
            if not call.answer.done():
                call.answer.set_result(reply)
        elif str(reply).partition(" ")[0] not in WRONG_SERVER:
            if not call.answer.done():
                call.answer.set_exception(self._refusal(reply))
        else:
            # Most likely what was written behind it is refused, too: all keep their order.
            call.number = 0
            self._refused.append(call)
            self._refusal_was = ConnectionError(str(reply))
        if self._refused and not self._written:
            self.break_off(self._refusal_was)

    def _greeted(self, answers: list[Reply]) -> None:
        if ASK_SERVER in self._greeting:
            self._server = _run_id(answers[self._greeting.index(ASK_SERVER)])

    def _opened(self, wire: Wire) -> None:
        self._is_silent = False
        # Before the repeated calls: they may be answered by what this sends.
        if self._restored is not None:
            self._restored()
        waiting = [call for call in self._pending if not call.answer.done()]
        self._pending = deque(waiting)
        self._written = 0
        for call in waiting:
            self._write(call, wire)

    def _broke(self) -> None:
        written, self._written = self._written, 0
        for call in list(self._pending)[:written]:
            if not call.repeatable:
                self._fail(call, "broke off before it answered")
        # Behind those without an answer: it gets a new number, and numbers rise.
        for call in reversed(self._refused):
            self._pending.insert(written, call)
        self._refused.clear()

    def _not_opened(self, error: Exception) -> None:
        if is_refusal(error):
            for call in self._pending:
                self._fail(call, "refuses this process")
        self._expire()

    def _watch(self) -> None:
        """Look every while after calls without an answer, as long as there are any."""
        self._timer = None
        if self.is_closed or not self._pending:
            return
        self._expire()
        if self._written and self._loop.time() - self._heard_at > self._patience:
            self.break_off(TimeoutError(f"no answer for {self._patience:g} s"))
        self._timer = self._loop.call_later(WATCH_INTERVAL, self._watch)

    def _expire(self) -> None:
        now = self._loop.time()
        for call in self._pending:
            if call.deadline <= now:
                self._fail(call, self._silence())
        if self._wire is None:
            self._pending = deque(call for call in self._pending if not call.answer.done())

    def _silence(self) -> str:
        """Say what has been waited for; a call made during an outage has waited for less."""
        if self._wire is None:
            return f"cannot be reached, for {self.away_for:.1f} s"
        return f"did not answer in time, of at most {self._budget:g} s"

    def _fail(self, call: Call, what: str) -> None:
        if not call.answer.done():
            call.answer.set_exception(self._error(what))
            if isinstance(call.answer, asyncio.Future):
                # Who no longer waits need not be told of by the event loop.
                call.answer.exception()

    def _refusal(self, reply: hiredis.ReplyError) -> Exception:
        if is_refusal(reply):
            return RedisRefusedError(f"Redis shard {self.name} refuses this process: {reply}")
        return redis.exceptions.ResponseError(str(reply))

    def _error(self, what: str) -> RedisUnavailableError:
        if self._why is None:
            return RedisUnavailableError(f"Redis shard {self.name} {what}")
        kind = RedisRefusedError if is_refusal(self._why) else RedisUnavailableError
        return kind(f"Redis shard {self.name} {what}: {self._why}")


def _run_id(answer: Reply) -> str:
    """Return what the server's answer to ``ASK_SERVER`` says it is called in this life.

    Raises:
        ConnectionError: It does not say so.
    """
    found = (
        re.search(rb"^run_id:(\S+)", answer, re.MULTILINE) if isinstance(answer, bytes) else None
    )
    if found is None:
        raise ConnectionError(f"INFO server has no run_id, as that of Redis has: {answer!r:.200}")
    return found[1].decode()

"""Says on which line a handler waits, for the log."""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import asgiref.sync

OWN_CODE: Final = str(Path(__file__).parent)
LOOP: Final = str(Path(__file__).with_name("connection.py"))
PARK: Final = str(Path(__file__).with_name("parking.py")), "_park"
DISPATCH: Final = str(Path(__file__).with_name("consumer.py"))
CALLS: Final = str(Path(__file__).with_name("topics") / "subscription.py")
BRIDGE: Final = str(Path(asgiref.sync.__file__))

THREAD: Final = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
FRAME: Final = re.compile(r'  File "(.+)", line (\d+) in (.+)')


class Place(NamedTuple):
    """A line of code that is being executed."""

    file: str
    line: int
    function: str


def where_it_waits(task: asyncio.Task[Any], thread_id: int | None = None) -> str:
    """Return ``function at file:line`` of the application's own code that waits now.

    The innermost place is named too if it is elsewhere.

    Args:
        task: The task that runs the handler, suspended, or that is parked meanwhile.
        thread_id: The thread that runs it, if that is another.
    """
    places = _handler_places(task) if thread_id is None else _thread_places(thread_id)
    foreign = [place for place in places if not place.file.startswith(OWN_CODE)]
    if not foreign:
        return "an unknown line"
    outer, inner = foreign[0], foreign[-1]
    return _show(outer) if outer == inner else f"{_show(outer)} (in {_show(inner)})"


def places_of_threads() -> list[str]:
    """Return where each thread is that runs sync code for async code now."""
    found = []
    for places in _dump_threads().values():
        if any(place.file == BRIDGE for place in places):
            foreign = [p for p in _below(BRIDGE, places) if not p.file.startswith(OWN_CODE)]
            found += [_show(place) for place in foreign[:1]]
    return found


def _handler_places(task: asyncio.Task[Any]) -> list[Place]:
    # Above the connection's loop stand the server and the middleware around the consumer.
    return _below(LOOP, list(_coroutine_places(task.get_coro())))


def _coroutine_places(awaited: Any) -> Iterator[Place]:
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            code = frame.f_code
            yield Place(code.co_filename, frame.f_lineno, code.co_qualname)
        awaited = _begun_meanwhile(frame) or _awaited_by(awaited)


def _begun_meanwhile(frame: FrameType | None) -> Any:
    """Return what drives a handler of the connection that is parked in ``frame``, if one does."""
    if frame is None or (frame.f_code.co_filename, frame.f_code.co_name) != PARK:
        return None
    return frame.f_locals["self"].driver()


def _awaited_by(awaited: Any) -> Any:
    if inspect.isgenerator(awaited):
        # One of ``stepping``: a driver, or ``Begun.finish``, which sends to its driver.
        frame = awaited.gi_frame
        return awaited.gi_yieldfrom or (frame and frame.f_locals.get("driver"))
    return getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)


def _thread_places(thread_id: int) -> list[Place]:
    return _below(CALLS, _below(DISPATCH, _dump_threads().get(thread_id, [])))


def _dump_threads() -> dict[int, list[Place]]:
    """Return the stack of each thread, outermost first."""
    # Read in one step: walking the frames of a thread that runs meanwhile can crash CPython 3.11.
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        text = file.read().decode(errors="replace")
    found = {}
    for block in text.split("\n\n"):
        head = THREAD.match(block)
        if head is not None:
            places = [Place(path, int(line), name) for path, line, name in FRAME.findall(block)]
            found[int(head[1], 16)] = places[::-1]
    return found


def _below(file: str, places: list[Place]) -> list[Place]:
    """Return what stands below the innermost place in ``file``; all, if there is none."""
    while any(place.file == file for place in places):
        del places[0]
    return places


def _show(place: Place) -> str:
    return f"{place.function} at {place.file}:{place.line}"

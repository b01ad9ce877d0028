"""The logs of the supervisor and its workers: lines of text, or of JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection
from typing import Any, Final

from django.utils.log import RequireDebugTrue

from channels.serving.options import Options

ACCESS: Final = "uvicorn.access"
ACCESS_FIELDS: Final = ("client", "method", "path", "http_version", "status")
"""The arguments of uvicorn's line for a request, in its order."""
OWN: Final = ("uvicorn", "channels", "django.channels")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``process``, ``message``.

    A request also has ``client``, ``method``, ``path``, ``http_version`` and ``status``; an error
    ``exception``, with its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.name == ACCESS and isinstance(record.args, tuple):
            line |= dict(zip(ACCESS_FIELDS, record.args, strict=False))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(options: Options) -> None:
    """Send what is logged to standard error, unless the project's ``LOGGING`` has the root logger.

    With ``log_format`` given, that of the project gives way. What handlers it has given to other
    loggers stay.
    """
    level = options.log_level.upper()
    root = logging.getLogger()
    if options.log_format is not None or not root.handlers:
        handler = logging.StreamHandler()
        text = logging.Formatter("%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s")
        handler.setFormatter(JsonFormatter() if options.log_format == "json" else text)
        root.handlers[:] = [handler]
        _take_console_from_django()
    for name in OWN:
        logging.getLogger(name).setLevel(level)
    if not options.access_log:
        logging.getLogger(ACCESS).setLevel(logging.CRITICAL)


def _take_console_from_django() -> None:
    """Take away the handler by which Django, with ``DEBUG``, writes what the root logger writes."""
    django = logging.getLogger("django")
    if django.propagate:
        django.handlers[:] = [each for each in django.handlers if not _is_djangos_console(each)]


def _is_djangos_console(handler: logging.Handler) -> bool:
    return handler.name == "console" and any(
        isinstance(condition, RequireDebugTrue) for condition in handler.filters
    )


def leave_out(paths: Collection[str]) -> None:
    """Log no request for ``paths``: a load balancer asks every other second."""

    def is_wanted(record: logging.LogRecord) -> bool:
        args = record.args
        return not (isinstance(args, tuple) and len(args) > 2 and args[2] in paths)

    logging.getLogger(ACCESS).addFilter(is_wanted)

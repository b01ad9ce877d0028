"""A test case with a live server, which runs in a thread of the test process."""

from __future__ import annotations

import asyncio
import functools
import logging
import multiprocessing.process
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import django
from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.apps import apps
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase
from django.test.utils import modify_settings

from channels.routing import get_default_application
from channels.testing.application import no_op
from channels.typing import App

if TYPE_CHECKING:
    import uvicorn

START_LIMIT: Final = 60.0
"""Seconds the server may take to start."""

CLOSE_LIMIT: Final = 2.0
"""Seconds that open connections and running handlers have when the server stops."""

STOP_LIMIT: Final = 10.0
"""Seconds after which a server that does not stop is left behind."""

logger: logging.Logger = logging.getLogger("channels.testing")


def __getattr__(name: str) -> Any:
    """Import ``DaphneProcess``, which projects expect here, when it is asked for."""
    if name != "DaphneProcess":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("daphne.testing").DaphneProcess


@dataclass
class Port:
    """The number of a port, 0 until it is known."""

    value: int = 0


class ServerThread(threading.Thread):
    """Uvicorn in a thread of this process, on a free port.

    All sync code of the application runs in one more thread, whatever connection it serves. So
    one that uses a shared in-memory database never meets itself half-way through a transaction,
    and no database connection stays open behind the test's back: the thread closes its own when
    the server stops. Sync code of different connections therefore takes turns, as it need not
    under a server in production.

    Args:
        host: Name or address to listen on.
        get_application: Returns the ASGI application; called in the thread.
        kwargs: Options for ``uvicorn.Config``.
        setup: Called first in each thread that runs code of the application.
        teardown: Called last in the thread for sync code and in the server's own.
        port: To listen on; by default a free one.

    Attributes:
        ready: Set once the server accepts connections.
        port: Holds the port as its ``value``.
        errors: What the server died of: the exception and its traceback as text.

    Raises:
        ImproperlyConfigured: Uvicorn or websockets is not installed.
    """

    def __init__(
        self,
        host: str,
        get_application: Callable[[], App],
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], object] | None = None,
        teardown: Callable[[], object] | None = None,
        port: int | None = None,
    ) -> None:
        super().__init__(name="live-server", daemon=True)
        _require_server()
        self.ready: threading.Event = threading.Event()
        self.port: Port = Port(port or 0)
        self.errors: queue.Queue[tuple[BaseException, str]] = queue.Queue()
        self._host = host
        self._get_application = get_application
        self._options = dict(kwargs or {})
        self._setup = setup or no_op
        self._teardown = teardown or no_op
        self._server: uvicorn.Server | None = None
        self._is_stopping = False

    def run(self) -> None:
        """Serve until ``terminate`` is called."""
        sync_thread = ThreadPoolExecutor(1, "live-server-sync", self._setup)
        # A context that is set already is the one that Django's handler and our consumers use;
        # every task of the event loop inherits this one.
        context = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[context] = sync_thread
        SyncToAsync.thread_sensitive_context.set(context)
        try:
            self._setup()
            asyncio.run(self._serve())
        # SystemExit too: it is how uvicorn says that it cannot start.
        except BaseException as error:
            self.errors.put((error, traceback.format_exc()))
        finally:
            sync_thread.submit(self._teardown)
            sync_thread.shutdown()
            self._teardown()

    def terminate(self) -> None:
        """Ask the server to stop; ``join`` waits for it."""
        self._is_stopping = True
        if self._server is not None:
            self._server.should_exit = True

    async def _serve(self) -> None:
        import uvicorn

        # Sync code that is not thread-sensitive finds the same databases.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(thread_name_prefix="live-server-pool", initializer=self._setup)
        )
        options: dict[str, Any] = {
            "interface": "asgi3",
            "ws": "channels.server:WebSocketProtocol",
            "proxy_headers": False,
            "access_log": False,
            # The test process has logging of its own.
            "log_config": None,
            "timeout_graceful_shutdown": CLOSE_LIMIT,
            # Called on the first tick after the start, and now and then again.
            "callback_notify": self._announce,
        }
        config = uvicorn.Config(self._get_application(), **{**options, **self._options})
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.create_server((self._host, self.port.value), family=family) as listener:
            self.port.value = listener.getsockname()[1]
            self._server = uvicorn.Server(config)
            self._server.should_exit = self._is_stopping
            await self._server.serve([listener])

    async def _announce(self) -> None:
        self.ready.set()


class ChannelsLiveServerTestCase(TransactionTestCase):
    """A test case beside which the project's ASGI application is served on a real port.

    The server runs in a thread of this process, one for each class. What a test patches is
    patched for the server too, and an in-memory SQLite database is one for both: they share its
    connection, so each is inside a transaction that the other has open.

    ``ProtocolServerProcess`` may be any ``multiprocessing.Process`` of the same interface, such
    as ``daphne.testing.DaphneProcess``. That one sees neither patches nor an in-memory database.
    A thread in its place is a subclass of ``ServerThread``.

    Attributes:
        host: Name or address to listen on; it is added to ``ALLOWED_HOSTS``.
        serve_static: Wrap the application in ``static_wrapper``.
        static_wrapper: Serves static files in front of the application.
        ProtocolServerProcess: Runs the server; see ``ServerThread`` for the interface.

    Raises:
        ImproperlyConfigured: No server is installed, or the server is another process and a
            database is in memory.
        RuntimeError: The server did not start.
    """

    host = "localhost"
    ProtocolServerProcess: ClassVar[Callable[..., Any]] = ServerThread
    static_wrapper: ClassVar[Callable[[Any], Any]] = ASGIStaticFilesHandler
    serve_static = True

    _port: ClassVar[int]
    _server_process: ClassVar[Any]
    _live_server_modified_settings: ClassVar[modify_settings]

    @property
    def live_server_url(self) -> str:
        """Address of the server for HTTP."""
        return f"http://{self.host}:{self._port}"

    @property
    def live_server_ws_url(self) -> str:
        """Address of the server for WebSocket."""
        return f"ws://{self.host}:{self._port}"

    @classmethod
    def setUpClass(cls) -> None:
        """Start the server."""
        super().setUpClass()
        cls._live_server_modified_settings = modify_settings(ALLOWED_HOSTS={"append": cls.host})
        cls._live_server_modified_settings.enable()
        cls.addClassCleanup(cls._live_server_modified_settings.disable)
        cls._server_process = cls._make_server()
        cls._server_process.start()
        cls.addClassCleanup(cls._stop_server)
        _wait_until_ready(cls._server_process)
        cls._port = cls._server_process.port.value

    @classmethod
    def _make_server(cls) -> Any:
        get_application = functools.partial(
            make_application, static_wrapper=cls.static_wrapper if cls.serve_static else None
        )
        return cls.ProtocolServerProcess(cls.host, get_application, **cls._database_hooks())

    @classmethod
    def _database_hooks(cls) -> dict[str, Callable[[], None]]:
        """Return what gives the server the databases that the test uses."""
        in_memory = {db.alias: db for db in connections.all() if cls._is_in_memory_db(db)}
        kind = cls.ProtocolServerProcess
        if isinstance(kind, type) and issubclass(kind, threading.Thread):
            for connection in in_memory.values():
                connection.inc_thread_sharing()
                cls.addClassCleanup(connection.dec_thread_sharing)
            return {
                "setup": functools.partial(_adopt, in_memory),
                "teardown": functools.partial(_close_all_but, in_memory),
            }
        if in_memory:
            raise ImproperlyConfigured(
                f"{cls.__name__}: the database {', '.join(map(repr, in_memory))} is in memory, "
                f"which the process of {kind!r} cannot see. Give it a file in its TEST NAME, or "
                "leave ProtocolServerProcess as it is."
            )
        names = {db.alias: db.settings_dict["NAME"] for db in connections.all()}
        return {"setup": functools.partial(set_database_connection, names)}

    @classmethod
    def _is_in_memory_db(cls, connection: BaseDatabaseWrapper) -> bool:
        """Return whether ``connection`` is to an SQLite database in memory."""
        # Only Django's SQLite wrapper has the method.
        return connection.vendor == "sqlite" and bool(cast("Any", connection).is_in_memory_db())

    @classmethod
    def _stop_server(cls) -> None:
        server = cls._server_process
        server.terminate()
        server.join(STOP_LIMIT)
        if not server.is_alive():
            return
        logger.error(
            "The live server of %s did not stop within %g s and is left behind.",
            cls.__name__,
            STOP_LIMIT,
        )
        # A process would keep the interpreter from its end; a daemon thread does not.
        if isinstance(server, multiprocessing.process.BaseProcess):
            server.kill()


def make_application(*, static_wrapper: Callable[[Any], Any] | None) -> Any:
    """Return the application of ``ASGI_APPLICATION``, in ``static_wrapper`` if there is one."""
    if not apps.ready:
        # A server process that was not forked starts with nothing set up.
        django.setup()
    application = get_default_application()
    return static_wrapper(application) if static_wrapper else application


def set_database_connection(names: Mapping[str, Any] | None = None) -> None:
    """Point the settings of this process at the test databases.

    Args:
        names: Database names by alias. By default they are what Django calls them: TEST NAME, or
            the normal name after ``test_``.
    """
    for alias, database in connections.settings.items():
        name = names[alias] if names else database["TEST"]["NAME"] or f"test_{database['NAME']}"
        database["NAME"] = name


def _adopt(shared: Mapping[str, BaseDatabaseWrapper]) -> None:
    """Let the current thread use these connections for its own."""
    for alias, connection in shared.items():
        connections[alias] = connection


def _close_all_but(shared: Container[str]) -> None:
    for connection in connections.all(initialized_only=True):
        if connection.alias not in shared:
            connection.close()


def _wait_until_ready(server: Any) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not server.ready.wait(0.1):
        if not server.is_alive():
            raise RuntimeError(f"The live server died before it was ready. {_last_words(server)}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The live server was not ready within {START_LIMIT:g} s.")


def _last_words(server: Any) -> str:
    try:
        text: str = server.errors.get(timeout=1)[1]
    except queue.Empty:
        return "It left no error."
    return f"Its error:\n{text}"


def _require_server() -> None:
    missing = [name for name in ("uvicorn", "websockets") if find_spec(name) is None]
    if missing:
        raise ImproperlyConfigured(
            f"ChannelsLiveServerTestCase needs {' and '.join(missing)}. Install 'seaway[server]', "
            "or set ProtocolServerProcess to another server."
        )

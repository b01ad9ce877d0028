"""Contract 00: modules, names, signatures and pinned texts that no other module holds."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import textwrap
from typing import Any

from support import outcome, signature

MODULES = [
    "channels",
    "channels.apps",
    "channels.auth",
    "channels.consumer",
    "channels.db",
    "channels.exceptions",
    "channels.generic.http",
    "channels.generic.websocket",
    "channels.layers",
    "channels.management.commands.runworker",
    "channels.middleware",
    "channels.routing",
    "channels.security.websocket",
    "channels.sessions",
    "channels.testing",
    "channels.testing.application",
    "channels.testing.http",
    "channels.testing.live",
    "channels.testing.websocket",
    "channels.utils",
    "channels.worker",
]
# The names of each module that other code imports, as the contract lists them.
NAMES = {
    "channels": ["DEFAULT_CHANNEL_LAYER", "__version__"],
    "channels.apps": ["ChannelsConfig"],
    "channels.auth": [
        "AuthMiddleware",
        "AuthMiddlewareStack",
        "BACKEND_SESSION_KEY",
        "HASH_SESSION_KEY",
        "SESSION_KEY",
        "UserLazyObject",
        "_get_user_session_key",
        "get_user",
        "load_backend",
        "login",
        "logout",
        "user_logged_in",
        "user_logged_out",
    ],
    "channels.consumer": [
        "AsyncConsumer",
        "SyncConsumer",
        "aclose_old_connections",
        "async_to_sync",
        "await_many_dispatch",
        "database_sync_to_async",
        "get_channel_layer",
        "get_handler_name",
    ],
    "channels.db": [
        "DatabaseSyncToAsync",
        "aclose_old_connections",
        "close_old_connections",
        "database_sync_to_async",
    ],
    "channels.exceptions": [
        "AcceptConnection",
        "ChannelFull",
        "DenyConnection",
        "InvalidChannelLayerError",
        "MessageTooLarge",
        "RequestAborted",
        "RequestTimeout",
        "StopConsumer",
    ],
    "channels.generic.http": ["AsyncHttpConsumer"],
    "channels.generic.websocket": [
        "AsyncJsonWebsocketConsumer",
        "AsyncWebsocketConsumer",
        "JsonWebsocketConsumer",
        "WebsocketConsumer",
    ],
    "channels.layers": [
        "BaseChannelLayer",
        "ChannelFull",
        "ChannelLayerManager",
        "DEFAULT_CHANNEL_LAYER",
        "InMemoryChannelLayer",
        "InvalidChannelLayerError",
        "channel_layers",
        "get_channel_layer",
    ],
    "channels.management.commands.runworker": ["Command"],
    "channels.middleware": ["BaseMiddleware"],
    "channels.routing": [
        "ChannelNameRouter",
        "ProtocolTypeRouter",
        "URLRouter",
        "get_default_application",
    ],
    "channels.security.websocket": [
        "AllowedHostsOriginValidator",
        "OriginValidator",
        "WebsocketDenier",
    ],
    "channels.sessions": [
        "CookieMiddleware",
        "InstanceSessionWrapper",
        "SessionMiddleware",
        "SessionMiddlewareStack",
        "import_module",
        "parse_cookie",
        "settings",
    ],
    "channels.testing": [
        "ApplicationCommunicator",
        "ChannelsLiveServerTestCase",
        "HttpCommunicator",
        "WebsocketCommunicator",
    ],
    "channels.testing.application": ["ApplicationCommunicator", "no_op"],
    "channels.testing.live": ["make_application", "set_database_connection"],
    "channels.utils": ["await_many_dispatch", "name_that_thing"],
    "channels.worker": ["Worker"],
}


def _alone(code: str) -> Any:
    """Run ``code`` in a fresh interpreter without settings; it prints JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def every_module_imports_without_settings() -> object:
    """Contract 00, public modules: each imports without settings or a loaded app registry."""
    return _alone(f"""
        import importlib, json
        from django.apps import apps
        from django.conf import settings
        for name in {MODULES!r}:
            importlib.import_module(name)
        print(json.dumps([settings.configured, apps.ready]))
    """)


def importing_auth_imports_no_models() -> object:
    """Contract 00, public modules: ``channels.auth`` imports no model, ``asgi.py`` comes first."""
    return _alone("""
        import json, sys
        import channels.auth
        print(json.dumps("django.contrib.auth.models" in sys.modules))
    """)


def channels_works_without_daphne() -> object:
    """Contract 00, versions: the package imports and works without any server installed."""
    return _alone(f"""
        import importlib, json, sys
        for name in ("daphne", "daphne.testing", "twisted", "autobahn"):
            sys.modules[name] = None
        names = [name for name in {MODULES!r} if "testing" not in name]
        for name in names:
            importlib.import_module(name)
        print(json.dumps("imported"))
    """)


def testing_imports_without_daphne() -> object:
    """Contract 11, quirks: ``import channels.testing`` where daphne is not installed."""
    return _alone("""
        import json, sys
        for name in ("daphne", "daphne.testing", "twisted", "autobahn"):
            sys.modules[name] = None
        try:
            import channels.testing
        except ImportError:
            print(json.dumps("ImportError"))
        else:
            print(json.dumps(hasattr(channels.testing, "WebsocketCommunicator")))
    """)


def package_attributes() -> object:
    """Contract 00, versions: ``__version__`` is a 4.x string, the default alias ``default``."""
    import channels

    return {
        "version": [isinstance(channels.__version__, str), channels.__version__.split(".")[0]],
        "alias": channels.DEFAULT_CHANNEL_LAYER,
    }


def public_names_exist() -> object:
    """Contract 00 to 12, names other code leans on: every module attribute is there."""
    return {
        module: {name: _is_there(module, name) for name in names} for module, names in NAMES.items()
    }


def _is_there(module: str, name: str) -> bool | str:
    loaded = outcome(importlib.import_module, module)
    return str(loaded) if isinstance(loaded, Exception) else hasattr(loaded, name)


def exceptions_have_their_bases() -> object:
    """Contract 10, exceptions: bases of each, all constructible with no arguments."""
    from channels import exceptions

    made = {name: getattr(exceptions, name)() for name in NAMES["channels.exceptions"]}
    bases = (ValueError, exceptions.RequestAborted, Exception)
    return {
        name: [base.__name__ for base in bases if isinstance(error, base)]
        for name, error in made.items()
    }


def removed_names_are_gone() -> object:
    """Contract 00, deprecated or removed names: modules that were removed are not importable."""
    return {
        name: isinstance(outcome(importlib.import_module, name), ImportError)
        for name in ["channels.http", "channels.staticfiles", "channels.tests", "channels.signals"]
    }


def _signatures(owner: Any, *names: str) -> dict[str, str]:
    shown = {}
    for name in names:
        attribute = inspect.getattr_static(owner, name)
        function = getattr(attribute, "__func__", None) or getattr(attribute, "func", attribute)
        prefix = type(attribute).__name__ + " " if hasattr(attribute, "__func__") else ""
        if inspect.iscoroutinefunction(function):
            prefix += "async "
        shown[name] = prefix + signature(function)
    return shown


def signatures_of_routing() -> object:
    """Contract 01: signatures are exact."""
    from channels import routing

    return {
        "get_default_application": signature(routing.get_default_application),
        "ProtocolTypeRouter": _signatures(routing.ProtocolTypeRouter, "__init__", "__call__"),
        "URLRouter": _signatures(routing.URLRouter, "__init__", "__call__"),
        "ChannelNameRouter": _signatures(routing.ChannelNameRouter, "__init__", "__call__"),
    }


def signatures_of_consumers() -> object:
    """Contract 02: signatures of the base consumers and of ``await_many_dispatch``."""
    from channels import consumer, utils

    return {
        "get_handler_name": signature(consumer.get_handler_name),
        "await_many_dispatch": signature(utils.await_many_dispatch),
        "name_that_thing": signature(utils.name_that_thing),
        "AsyncConsumer": _signatures(
            consumer.AsyncConsumer, "__call__", "dispatch", "send", "as_asgi"
        ),
        "SyncConsumer": _signatures(consumer.SyncConsumer, "dispatch", "send"),
    }


def signatures_of_websocket_consumers() -> object:
    """Contract 03: signatures of every method, sync and async."""
    from channels.generic import websocket

    plain = [
        "__init__",
        "websocket_connect",
        "connect",
        "accept",
        "websocket_receive",
        "receive",
        "send",
        "close",
        "websocket_disconnect",
        "disconnect",
    ]
    json_names = ["receive", "receive_json", "send_json", "decode_json", "encode_json"]
    return {
        "WebsocketConsumer": _signatures(websocket.WebsocketConsumer, *plain),
        "AsyncWebsocketConsumer": _signatures(websocket.AsyncWebsocketConsumer, *plain),
        "JsonWebsocketConsumer": _signatures(websocket.JsonWebsocketConsumer, *json_names),
        "AsyncJsonWebsocketConsumer": _signatures(
            websocket.AsyncJsonWebsocketConsumer, *json_names
        ),
    }


def signatures_of_http_consumer() -> object:
    """Contract 04: signatures, keyword-only markers included."""
    from channels.generic.http import AsyncHttpConsumer

    names = ["__init__", "send_headers", "send_body", "send_response", "handle", "disconnect"]
    return _signatures(AsyncHttpConsumer, *names, "http_request", "http_disconnect")


def signatures_of_sessions() -> object:
    """Contract 05: signatures of the cookie and session middlewares."""
    from channels import sessions

    wrapper = ["__init__", "resolve_session", "send", "save_session"]
    return {
        "CookieMiddleware": _signatures(
            sessions.CookieMiddleware, "__init__", "__call__", "set_cookie", "delete_cookie"
        ),
        "SessionMiddleware": _signatures(sessions.SessionMiddleware, "__init__", "__call__"),
        "SessionMiddlewareStack": signature(sessions.SessionMiddlewareStack),
        "InstanceSessionWrapper": _signatures(sessions.InstanceSessionWrapper, *wrapper),
    }


def signatures_of_auth() -> object:
    """Contract 06: signatures of the functions and of the middleware's hooks."""
    from channels import auth

    return {
        "functions": _signatures(auth, "get_user", "login", "logout", "_get_user_session_key"),
        "AuthMiddleware": _signatures(
            auth.AuthMiddleware, "populate_scope", "resolve_scope", "__call__"
        ),
        "AuthMiddlewareStack": signature(auth.AuthMiddlewareStack),
    }


def signatures_of_security() -> object:
    """Contract 07: signatures of the origin validator and its checks."""
    from channels.security import websocket

    checks = ["valid_origin", "validate_origin", "match_allowed_origin", "get_origin_port"]
    return {
        "OriginValidator": _signatures(websocket.OriginValidator, "__init__", "__call__", *checks),
        "AllowedHostsOriginValidator": signature(websocket.AllowedHostsOriginValidator),
    }


def signatures_of_layers() -> object:
    """Contract 08: signatures of the base layer, the memory layer and the manager."""
    from channels import layers

    operations = [
        "send",
        "receive",
        "new_channel",
        "flush",
        "group_add",
        "group_discard",
        "group_send",
    ]
    helpers = [
        "compile_capacities",
        "get_capacity",
        "match_type_and_length",
        "require_valid_channel_name",
        "require_valid_group_name",
        "valid_channel_names",
        "non_local_name",
        "valid_channel_name",
        "valid_group_name",
    ]
    manager = ["make_backend", "make_test_backend", "__getitem__", "__contains__", "set"]
    return {
        "BaseChannelLayer": _signatures(layers.BaseChannelLayer, "__init__", *helpers),
        "InMemoryChannelLayer": _signatures(
            layers.InMemoryChannelLayer,
            "__init__",
            *operations,
            "close",
            "_clean_expired",
            "_remove_from_groups",
        ),
        "ChannelLayerManager": _signatures(layers.ChannelLayerManager, *manager),
        "get_channel_layer": signature(layers.get_channel_layer),
    }


def signatures_of_db() -> object:
    """Contract 10: signature of ``database_sync_to_async``, the hook and the clean-up."""
    from channels import db

    return {
        "DatabaseSyncToAsync": _signatures(db.DatabaseSyncToAsync, "__init__", "thread_handler"),
        "aclose_old_connections": signature(db.aclose_old_connections),
        "same": db.database_sync_to_async is db.DatabaseSyncToAsync,
    }


def signatures_of_middleware() -> object:
    """Contract 10: signature of ``BaseMiddleware``."""
    from channels.middleware import BaseMiddleware

    return _signatures(BaseMiddleware, "__init__", "__call__")


def signatures_of_testing() -> object:
    """Contract 11: signatures of the communicators and of the live server's helpers."""
    from channels import testing
    from channels.testing import live

    application = ["send_input", "receive_output", "receive_nothing", "wait", "stop"]
    websocket = ["connect", "send_to", "send_json_to", "receive_from", "receive_json_from"]
    return {
        "ApplicationCommunicator": _signatures(testing.ApplicationCommunicator, *application),
        "constructor": signature(testing.ApplicationCommunicator),
        "HttpCommunicator": _signatures(testing.HttpCommunicator, "__init__", "get_response"),
        "WebsocketCommunicator": _signatures(
            testing.WebsocketCommunicator, "__init__", *websocket, "disconnect"
        ),
        "make_application": signature(live.make_application),
    }


def signature_of_set_database_connection() -> object:
    """Contract 11, names: ``set_database_connection()`` needs no arguments."""
    from channels.testing import live

    return signature(live.set_database_connection)


def signatures_of_worker() -> object:
    """Contract 12: signature of the worker."""
    from channels.worker import Worker

    return _signatures(Worker, "__init__", "handle", "listener")

"""Where we differ from upstream on purpose: what each scenario must show instead, and why.

The one table of differences. Each has a line in ``docs/reference/differences.md`` that ends with
the scenario's id. An entry whose scenario shows the same on both sides is stale, and fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """What we show where upstream shows something else."""

    reason: str
    ours: Any


CLOSED = {"type": "websocket.close"}
ACCEPTED = {"type": "websocket.accept", "subprotocol": None}
DELETED = 'sessionid=""; expires=Thu, 01-Jan-1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite='


def _raises(name: str) -> dict[str, str]:
    return {"raises": name}


def _both(observed: Any) -> dict[str, Any]:
    return {"async": observed, "sync": observed}


def _talk(*sent: Any, ended: Any = None) -> dict[str, Any]:
    return {"sent": list(sent), "ended": ended}


DIFFERENCES = {
    "auth_middleware.a_foreign_origin_and_the_stack": Difference(
        "the stack refuses a browser page of another site by default",
        ours={
            "foreign": [{"code": 1008, "type": "websocket.close"}],
            "none": [ACCEPTED],
            "own": [ACCEPTED],
        },
    ),
    "auth_middleware.a_preset_user": Difference(
        "a user who is already there is kept, without a query; None is replaced",
        ours=[[["ann", False], 0], [["ann", True], 1]],
    ),
    "auth_middleware.get_user_with_a_malformed_id": Difference(
        "a malformed id is an anonymous visitor, not a failed handshake",
        ours="anonymous",
    ),
    "auth_middleware.login_of_an_anonymous_user": Difference(
        "the error says what was expected",
        ours=_raises("ValueError"),
    ),
    "auth_middleware.secret_key_fallbacks": Difference(
        "sessions survive the rotation of SECRET_KEY",
        ours={"fresh hash stored": True, "user": "ann"},
    ),
    "auth_middleware.secret_key_fallbacks_over_http": Difference(
        "sessions survive the rotation of SECRET_KEY",
        ours={"a new key": True, "cookies": 1, "user": "b'ann'"},
    ),
    "communicators.a_body_message_without_body": Difference(
        "ASGI lets a body message omit its body",
        ours={"body": "b''", "headers": [], "status": 200},
    ),
    "communicators.a_denial_response": Difference(
        "a refusal with a response is an answer to connect()",
        ours=[{"tuple": [False, 401]}, [{"tuple": ["b'a'", "b'b'"]}]],
    ),
    "communicators.a_failed_constructor_says_nothing_more": Difference(
        "the finaliser of a communicator that was never made is quiet",
        ours=[],
    ),
    "communicators.websocket_spec_version_under_asgi": Difference(
        "ASGI puts spec_version under scope['asgi']; the old place is kept",
        ours={"spec_version": "2.3", "version": "3.0"},
    ),
    "consumers.a_plain_function_as_an_async_handler": Difference(
        "the error names the handler that is no coroutine function",
        ours=[_raises("TypeError"), True],
    ),
    "consumers.base_send_is_the_servers_send": Difference(
        "base_send checks the order of events and forgives a peer that has gone",
        ours=[False],
    ),
    "consumers.dispatch_of_a_data_attribute": Difference(
        "a type that names no handler is a ValueError, callable or not",
        ours=_both(_raises("ValueError")),
    ),
    "consumers.dispatch_of_a_type_that_is_no_string": Difference(
        "the error says that a type is a string",
        ours=_both(_raises("ValueError")),
    ),
    "consumers.groups_after_an_abnormal_end": Difference(
        "groups are left whatever ended the connection",
        ours={
            "cancellation": {"channels": 0, "groups": []},
            "error": {"channels": 0, "groups": []},
        },
    ),
    "consumers.handler_name_of_a_type_that_is_no_string": Difference(
        "the error says that a type is a string",
        ours=[
            _raises("ValueError"),
            _raises("ValueError"),
            _raises("ValueError"),
            _raises("ValueError"),
        ],
    ),
    "consumers.old_connections_are_closed_around_handlers": Difference(
        "no thread hop for clean-up where no database was used",
        ours={"async": 0, "sync": 6},
    ),
    "consumers.three_blocking_sync_consumers": Difference(
        "sync consumers of different connections run at the same time",
        ours={"ended": [None, None, None], "most at once": 3},
    ),
    "database.as_a_decorator_with_options": Difference(
        "the decorator takes options",
        ours=["result", False],
    ),
    "database.generic_consumers_clean_up_after_disconnect": Difference(
        "no thread hop for clean-up where no database was used",
        ours=[0, 0],
    ),
    "database.names_of_bound_methods": Difference(
        "bound methods have a name too",
        ours="scenarios.database._Thing.method",
    ),
    "dispatching.a_failed_read_and_a_stopping_handler": Difference(
        "the handler's own exception wins",
        ours=_raises("StopConsumer"),
    ),
    "dispatching.when_the_first_read_fails_the_others_are_cancelled": Difference(
        "no read is left running",
        ours={"ended": _raises("KeyError"), "tasks left": 0},
    ),
    "http_consumers.long_polling": Difference(
        "the long-poll style works: a response that is not finished keeps the consumer",
        ours=_talk(
            {"headers": [], "status": 200, "type": "http.response.start"},
            {"body": "b''", "more_body": True, "type": "http.response.body"},
            {"body": "b'news'", "more_body": False, "type": "http.response.body"},
        ),
    ),
    "http_consumers.one_instance_for_two_requests": Difference(
        "the body is that of one request",
        ours=["b'a'", "b'a'"],
    ),
    "http_consumers.send_headers_of_a_tuple": Difference(
        "headers leave as a list, so that middleware can append to them",
        ours=[
            {"headers": [{"tuple": ["b'a'", "b'b'"]}], "status": 200, "type": "http.response.start"}
        ],
    ),
    "layer_registry.get_channel_layer_and_a_key_error": Difference(
        "a bug in a layer's constructor is not taken for a missing alias",
        ours=_raises("KeyError"),
    ),
    "memory_layer.a_cancelled_waiter_beside_another": Difference(
        "a waiter keeps its queue when another one leaves",
        ours=[{"n": 1}],
    ),
    "memory_layer.a_full_channel_of_expired_messages": Difference(
        "expired messages take no room",
        ours=None,
    ),
    "memory_layer.channel_capacity_in_memory": Difference(
        "channel_capacity works",
        ours={
            "jobs.a": [None, _raises("ChannelFull"), _raises("ChannelFull")],
            "other": [None, None, None],
            "x": [None, None, _raises("ChannelFull")],
        },
    ),
    "memory_layer.checks_under_the_optimizer": Difference(
        "python -O switches no check off",
        ours=["True", "True"],
    ),
    "memory_layer.memberships_expire": Difference(
        "group_expiry does not end the membership of a live consumer",
        ours={
            "a live consumer": [{"text": "said", "type": "websocket.send"}],
            "nobody waits": "nothing",
        },
    ),
    "memory_layer.names_that_only_look_right": Difference(
        "names are ASCII to the last character",
        ours={
            "channels": [
                _raises("TypeError"),
                _raises("TypeError"),
                _raises("TypeError"),
                _raises("TypeError"),
            ],
            "groups": [_raises("TypeError"), _raises("TypeError")],
        },
    ),
    "memory_layer.new_channel_names_and_the_seed": Difference(
        "channel names do not follow the seed of random",
        ours={"collide": False},
    ),
    "memory_layer.sending_from_another_thread": Difference(
        "a send from any thread wakes the receiver",
        ours={"woken": True},
    ),
    "memory_layer.two_waiters_on_one_channel": Difference(
        "a waiter keeps its queue when another one leaves",
        ours=[1, 2],
    ),
    "live_server.a_live_test_case_with_a_database_in_memory": Difference(
        "the live server is a thread of the test process and shares its database",
        ours={
            "allowed hosts": ["testserver", "localhost"],
            "allowed hosts after": ["testserver"],
            "class": ["localhost", True, True, True, True],
            "errors": [],
            "page": [200, "/page: 1 user"],
            "same port": True,
            "socket": ["HTTP/1.1 101 Switching Protocols", "HELLO"],
            "static": [200, "a static file"],
            "static off": [200, "/static/note.txt: 0 user"],
            "urls": [True, True, True],
        },
    ),
    "origin_checks.a_port_after_a_bare_host": Difference(
        "host:port is a host; the port is ignored, as for numbers",
        ours={
            "127.0.0.1:3000": ["inner app", "inner app"],
            "localhost:8000": ["inner app", "inner app"],
        },
    ),
    "origin_checks.allowed_hosts_are_read_when": Difference(
        "ALLOWED_HOSTS is read for each connection",
        ours=[["new.com"], "inner app"],
    ),
    "origin_checks.allowed_hosts_in_debug_and_subdomains_of_localhost": Difference(
        "as Django does, DEBUG allows subdomains of localhost",
        ours=[["localhost", "127.0.0.1", "[::1]", ".localhost"], "inner app"],
    ),
    "origin_checks.malformed_origins": Difference(
        "an Origin that cannot be parsed is refused",
        ours={
            "http://[::1": [CLOSED],
            "http://ex.com:99999": [CLOSED],
            "http://ex.com:abc": [CLOSED],
        },
    ),
    "origin_checks.malformed_ports_under_a_bare_host": Difference(
        "an Origin that cannot be parsed is refused",
        ours=[[CLOSED], [CLOSED]],
    ),
    "origin_checks.several_origin_headers": Difference(
        "several differing Origin headers are refused",
        ours={"last is bad": [CLOSED], "last is good": [CLOSED], "same twice": "inner app"},
    ),
    "origin_checks.the_denier_and_the_layer": Difference(
        "a refused socket touches no layer",
        ours=0,
    ),
    "overview.signature_of_set_database_connection": Difference(
        "databases other than the default one can be named",
        ours="(names=None)",
    ),
    "overview.testing_imports_without_daphne": Difference(
        "the communicators need no server",
        ours=True,
    ),
    "routing.default_application_names_the_cause": Difference(
        "the error says which import failed",
        ours={"cause": "ModuleNotFoundError", "says which module is missing": True},
    ),
    "routing.url_router_and_a_consumers_own_resolver404": Difference(
        "an error of a consumer is not taken for a missing route",
        ours="Resolver404",
    ),
    "routing.url_router_and_the_callers_route": Difference(
        "the router works on copies of the routes it was given",
        ours={"still an endpoint": True},
    ),
    "routing.url_router_given_a_consumer_class": Difference(
        "the mistake is named where it is made",
        ours={"fails at": "construction", "names as_asgi": True},
    ),
    "routing.url_router_hidden_by_a_middleware_under_path": Difference(
        "the bundled middlewares let path() see the router inside",
        ours={"path_remaining": "", "url_route": {"args": {"tuple": []}, "kwargs": {}}},
    ),
    "routing.url_router_root_path_ends_at_a_slash": Difference(
        "a root path is whole segments",
        ours=_raises("ValueError"),
    ),
    "runserver.what_the_server_class_gets": Difference(
        "server_cls is called as Django's own runserver calls it",
        ours={
            "ended": _raises("TypeError"),
            "http_timeout": "not given",
            "ran": "not given",
            "root_path": "not given",
            "websocket_handshake_timeout": "not given",
        },
    ),
    "runserver.without_an_application": Difference(
        "without ASGI_APPLICATION it is Django's runserver, and a check says so",
        ours={"CommandError": False, "names the setting": True, "serves by WSGI": True},
    ),
    "session_middleware.a_flushed_session_deletes_the_cookie": Difference(
        "the cookie is deleted with the attributes it was set with",
        ours=[[["b'a'", "b"], ["b'Set-Cookie'", DELETED + "Lax"]], None, [["b'a'", "b"]]],
    ),
    "session_middleware.a_prefilled_session_without_cookies": Difference(
        "a session that is already there is left alone",
        ours="ann",
    ),
    "session_middleware.a_session_already_in_the_scope": Difference(
        "a session that is already there is left alone",
        ours=1,
    ),
    "session_middleware.a_session_deleted_meanwhile_is_interrupted": Difference(
        "the error is Django's SessionInterrupted as well",
        ours=True,
    ),
    "session_middleware.deleting_with_configured_attributes": Difference(
        "the cookie is deleted with the attributes it was set with",
        ours=[["b'Set-Cookie'", DELETED + "Strict; Secure"]],
    ),
    "session_middleware.rows_after_a_flush": Difference(
        "an empty session is not saved",
        ours=0,
    ),
    "session_middleware.samesite_off": Difference(
        "SESSION_COOKIE_SAMESITE = False turns the attribute off, as in Django",
        ours=[["sessionid=KEY; expires=now+1209600s; HttpOnly; Max-Age=1209600; Path=/"], None],
    ),
    "session_middleware.save_every_request_of_an_anonymous_visitor": Difference(
        "an empty session is not saved",
        ours=[[["b'a'", "b"]], None, 0],
    ),
    "session_middleware.save_every_request_with_a_stale_cookie": Difference(
        "an empty session is not saved; the stale cookie is deleted",
        ours=[[["b'a'", "b"], ["b'Set-Cookie'", DELETED + "Lax"]], False, 0],
    ),
    "session_middleware.set_cookie_on_a_tuple_of_headers": Difference(
        "headers may be any sequence",
        ours={
            "headers": [
                {"tuple": ["b'a'", "b'b'"]},
                {"tuple": ["b'Set-Cookie'", "b'k=v; Path=/; SameSite=lax'"]},
            ]
        },
    ),
    "session_middleware.set_cookie_with_an_aware_datetime": Difference(
        "aware datetimes work",
        ours=[["b'Set-Cookie'", "k=v; expires=now+3600s; Max-Age=3600; Path=/; SameSite=lax"]],
    ),
    "session_middleware.several_cookie_headers": Difference(
        "HTTP/2 may split cookies over several headers",
        ours={"a": "1", "b": "2"},
    ),
    "websockets.a_bug_in_the_layers_group_methods": Difference(
        "a bug in a layer is not reported as a wrong setting",
        ours=_both(_raises("AttributeError")),
    ),
    "websockets.a_send_that_fails_in_teardown": Difference(
        "a peer that has gone is no error, and the groups are left",
        ours=_both([None, {}]),
    ),
    "websockets.accepting_twice": Difference(
        "an illegal order of sends is an IllegalEventError",
        ours=_both(_talk(ACCEPTED, ended=_raises("RuntimeError"))),
    ),
    "websockets.close_with_false": Difference(
        "a bool is no close code",
        ours=_both([[CLOSED]]),
    ),
    "websockets.closing_in_disconnect": Difference(
        "closing twice, or after the peer, does nothing",
        ours=_both(_talk(ACCEPTED)),
    ),
    "websockets.closing_twice": Difference(
        "closing twice, or after the peer, does nothing",
        ours=_both(_talk(ACCEPTED, {"code": 4000, "type": "websocket.close"})),
    ),
    "websockets.denying_with_a_code": Difference(
        "a refusal may carry a code",
        ours=_both(_talk({"code": 4003, "type": "websocket.close"})),
    ),
    "websockets.disconnect_without_a_code": Difference(
        "a missing code is 1005, as the protocol has it",
        ours=_both([[None, None], [1005, 1005]]),
    ),
    "websockets.forgetting_super_init": Difference(
        "groups of None are no groups",
        ours=[
            _talk(ACCEPTED),
            _talk(
                ACCEPTED,
            ),
        ],
    ),
    "websockets.send_of_the_wrong_type": Difference(
        "a wrong type fails where it is given",
        ours=_both([_raises("TypeError")]),
    ),
    "websockets.sending_after_closing": Difference(
        "an illegal order of sends is an IllegalEventError",
        ours=_both(_talk(ACCEPTED, CLOSED, ended=_raises("RuntimeError"))),
    ),
    "websockets.sending_before_accepting": Difference(
        "an illegal order of sends is an IllegalEventError",
        ours=_both(_talk(ended=_raises("RuntimeError"))),
    ),
    "websockets.sending_in_disconnect": Difference(
        "a send to a peer that has gone does nothing",
        ours=_both(_talk(ACCEPTED)),
    ),
    "workers.a_message_right_after_a_crash": Difference(
        "a message after a crash goes to the next instance",
        ours={"1 was handled": True, "2 was handled": True},
    ),
    "workers.a_message_without_a_type": Difference(
        "a message without a type is logged, and the listener goes on",
        ours=[["running", 1], ["running", 1]],
    ),
    "workers.errors_of_a_listener": Difference(
        "a failed listener is started again",
        ours="still handling",
    ),
    "workers.one_failed_listener_among_others": Difference(
        "a message without a type is logged, and the listener goes on",
        ours=[["a", "b"], False],
    ),
    "workers.sending_to_no_client": Difference(
        "a send where there is no client is dropped with a warning",
        ours=["went on"],
    ),
}

"""The tables of ``Session``, and that nothing outside them happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels._core.session import (
    ACCEPT,
    CLOSE,
    DENY_BODY,
    DENY_START,
    EXPECTED,
    FROM_SERVER,
    JUDGED,
    QUIET,
    SEND,
    TO_SERVER,
    Session,
    State,
)
from channels.exceptions import IllegalEventError

CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"


def session_in(state: State) -> Session:
    session = Session()
    session.state = state
    return session


def connecting() -> Session:
    session = Session()
    session.received(CONNECT)
    return session


def test_a_conversation_is_new_then_connecting_then_open_then_closed_then_gone() -> None:
    session = Session()
    states = [session.state]

    session.received(CONNECT)
    states.append(session.state)
    session.sent(ACCEPT)
    states.append(session.state)
    session.sent(CLOSE)
    states.append(session.state)
    session.handled()
    states.append(session.state)
    session.received(DISCONNECT)
    states.append(session.state)

    assert states == [
        State.NEW,
        State.CONNECTING,
        State.OPEN,
        State.CLOSING,
        State.CLOSED,
        State.GONE,
    ]


@pytest.mark.parametrize("kind", sorted(JUDGED))
def test_before_connect_nothing_is_judged(kind: str) -> None:
    session = Session()

    assert session.sent(kind)
    assert session.state is State.NEW


@pytest.mark.parametrize("state", State)
def test_a_type_that_is_none_of_websockets_is_passed_on(state: State) -> None:
    session = session_in(state)

    assert session.sent("http.response.start")
    assert session.state is state


def test_code_after_a_close_in_the_same_handler_hears_of_its_mistake() -> None:
    session = connecting()
    session.sent(ACCEPT)
    session.sent(CLOSE)

    with pytest.raises(IllegalEventError) as caught:
        session.sent(SEND)

    assert str(caught.value) == (
        "'websocket.send' is not allowed while the socket is CLOSING; "
        "expected nothing after websocket.close"
    )


def test_a_message_that_crosses_our_close_is_quiet() -> None:
    session = connecting()
    session.sent(ACCEPT)
    session.sent(CLOSE)
    session.handled()

    assert session.sent(SEND) is False


def test_closing_twice_is_quiet() -> None:
    session = connecting()
    session.sent(CLOSE)

    assert session.sent(CLOSE) is False


def test_a_refusal_may_be_a_whole_response() -> None:
    session = connecting()

    assert session.sent(DENY_START)
    assert session.sent(DENY_BODY)
    assert session.sent(DENY_BODY)
    session.handled()
    assert session.state is State.CLOSED


@pytest.mark.parametrize("kind", sorted(JUDGED))
def test_whatever_is_sent_to_a_peer_that_has_gone_is_quiet(kind: str) -> None:
    session = connecting()

    session.peer_gone()

    assert session.sent(kind) is False
    assert session.state is State.GONE


@pytest.mark.parametrize("state", [state for state in State if state is not State.NEW])
def test_a_disconnect_ends_the_conversation_from_anywhere(state: State) -> None:
    session = session_in(state)

    session.received(DISCONNECT)

    assert session.state is State.GONE


@pytest.mark.parametrize("state", State)
def test_a_frame_moves_nothing(state: State) -> None:
    session = session_in(state)

    session.received(RECEIVE)

    assert session.state is state


@pytest.mark.parametrize("state", set(State) - {State.CLOSING, State.DENYING})
def test_the_end_of_a_handler_moves_only_what_that_handler_has_closed(state: State) -> None:
    session = session_in(state)

    session.handled()

    assert session.state is state


def test_no_step_is_both_passed_on_and_quiet() -> None:
    assert not QUIET & set(TO_SERVER)


@pytest.mark.parametrize("state", set(State) - {State.NEW})
@pytest.mark.parametrize("kind", sorted(JUDGED))
def test_every_step_outside_the_tables_is_refused_in_words_and_changes_nothing(
    state: State, kind: str
) -> None:
    session = session_in(state)

    if (state, kind) in TO_SERVER or (state, kind) in QUIET:
        session.sent(kind)
    else:
        with pytest.raises(IllegalEventError) as caught:
            session.sent(kind)
        assert session.state is state
        assert str(caught.value) == (
            f"{kind!r} is not allowed while the socket is {state.name}; expected {EXPECTED[state]}"
        )
        assert (caught.value.event_type, caught.value.state) == (kind, state.name)


STEPS = st.lists(
    st.tuples(st.just("received"), st.sampled_from([CONNECT, RECEIVE, DISCONNECT]))
    | st.tuples(st.just("sent"), st.sampled_from(sorted(JUDGED)))
    | st.tuples(st.sampled_from(["handled", "peer_gone"]))
)


@given(STEPS)
def test_the_server_sees_at_most_one_accept_and_nothing_after_a_close(
    steps: list[tuple[str, ...]],
) -> None:
    session = connecting()
    passed_on = []

    for method, *arguments in steps:
        try:
            if getattr(session, method)(*arguments):
                passed_on.append(arguments[0])
        except IllegalEventError:
            pass

    assert passed_on.count(ACCEPT) <= 1
    assert passed_on.count(CLOSE) <= 1
    assert CLOSE not in passed_on[:-1]
    assert SEND not in passed_on or passed_on[0] == ACCEPT


def test_nothing_leads_back_from_gone() -> None:
    leaving = [key for key in (*FROM_SERVER, *TO_SERVER) if key[0] is State.GONE]

    assert leaving == [(State.GONE, DISCONNECT)]

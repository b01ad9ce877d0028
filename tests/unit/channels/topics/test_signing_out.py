"""The connections of a user end with the user's session, or account."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.http import HttpRequest

from channels import auth
from channels.topics import adisconnect_user
from channels.topics.revocation import check_users
from channels.topics.site import here
from channels.typing import Scope
from tests.unit.channels.topics.conftest import Client

pytestmark = [
    pytest.mark.usefixtures("fresh_layer", "room"),
    pytest.mark.django_db(transaction=True),
]


async def new_user(name: str = "ann") -> User:
    return await User.objects.acreate(username=name)


async def require_end(client: Any) -> None:
    goodbye = await client.receive()
    assert goodbye == {
        "type": "goodbye",
        "code": "signed_out",
        "message": "you are signed out",
        "reconnect": False,
    }
    assert (await client.socket.receive_output())["code"] == 3401


async def test_a_user_who_is_deactivated_loses_every_connection(join: Any) -> None:
    ann, bob = await new_user(), await new_user("bob")
    tabs, other = [await join(ann), await join(ann)], await join(bob)
    for client in (*tabs, other):
        await client.subscribe("room.7")

    ann.is_active = False
    await ann.asave()

    for tab in tabs:
        await require_end(tab)
    assert await other.receives_nothing()


async def test_a_user_who_is_deleted_loses_every_connection(join: Any) -> None:
    ann = await new_user()
    client = await join(ann)
    await client.subscribe("room.7")

    await User.objects.filter(pk=ann.pk).adelete()

    await require_end(client)


async def test_a_save_that_changes_nothing_of_that_ends_nothing(join: Any) -> None:
    ann = await new_user()
    client = await join(ann)
    await client.subscribe("room.7")

    ann.first_name = "Ann"
    await ann.asave()

    assert await client.receives_nothing()


async def test_signing_out_ends_the_connections_of_that_session(join: Any) -> None:
    ann = await new_user()
    request = HttpRequest()
    request.session = SessionStore()
    await sync_to_async(login)(request, ann, "django.contrib.auth.backends.ModelBackend")
    await sync_to_async(request.session.save)()
    here_, elsewhere = await join(ann, session=request.session), await join(ann)
    for client in (here_, elsewhere):
        await client.subscribe("room.7")
    # Signing out gives the request's session a new key; a connection has the old one.
    here_.socket.scope["session"] = SessionStore(request.session.session_key)

    await sync_to_async(logout)(request)

    await require_end(here_)
    assert await elsewhere.receives_nothing()


async def test_signing_out_of_a_scope_ends_the_connections_of_its_session(join: Any) -> None:
    ann, session = await new_user(), SessionStore()
    scope: Scope = {"session": session, "user": ann}
    await auth.login(scope, ann, "django.contrib.auth.backends.ModelBackend")
    await session.asave()
    here_ = await join(ann, session=SessionStore(session.session_key))
    elsewhere = await join(ann)

    await auth.logout(scope)

    await require_end(here_)
    assert await elsewhere.receives_nothing()


async def test_who_signs_out_in_the_scope_of_a_connection_ends_it(join: Any) -> None:
    ann, session = await new_user(), SessionStore()
    await auth.login({"session": session}, ann, "django.contrib.auth.backends.ModelBackend")
    await session.asave()
    client = await join(ann, session=session)

    # It flushes the session that the connection has, whose key is gone then.
    await auth.logout({"session": session, "user": ann})

    await require_end(client)


async def test_a_user_is_disconnected_by_the_site(join: Any) -> None:
    ann = await new_user()
    client = await join(ann)
    await client.subscribe("room.7")

    await adisconnect_user(ann)

    await require_end(client)


async def test_what_is_changed_behind_django_is_found_by_the_check(join: Any) -> None:
    ann, bob = await new_user(), await new_user("bob")
    one, other = await join(ann), await join(bob)
    nobody = await join(None)
    for client in (one, other, nobody):
        await client.subscribe("room.7")
    await User.objects.filter(pk=ann.pk).aupdate(is_active=False)

    await check_users(here())

    await require_end(one)
    assert await other.receives_nothing()
    assert await nobody.receives_nothing()


async def test_who_has_not_said_hello_yet_is_signed_out_too(join: Any) -> None:
    ann = await new_user()
    client = Client(ann)
    await client.socket.connect()

    await adisconnect_user(ann)

    await require_end(client)


async def test_a_new_password_sends_those_of_the_old_one_to_sign_in_again(join: Any) -> None:
    ann = await new_user()
    client = await join(ann)
    await client.subscribe("room.7")
    changed = await User.objects.aget(pk=ann.pk)

    changed.set_password("another one")
    await changed.asave()

    goodbye = await client.receive()
    assert (goodbye["code"], goodbye["message"], goodbye["reconnect"]) == (
        "token_expired",
        "the password has changed",
        True,
    )
    fresh = await join(changed)
    await check_users(here())
    assert await fresh.receives_nothing()


async def test_a_user_of_another_kind_is_not_looked_for(join: Any) -> None:
    class Device:
        pk = "device-7"

    ann = await new_user()
    device, person = await join(Device()), await join(ann)
    await User.objects.filter(pk=ann.pk).aupdate(is_active=False)

    await check_users(here())

    await require_end(person)
    assert await device.receives_nothing()


async def test_signing_out_of_a_signed_cookie_ends_the_user_s_connections(join: Any) -> None:
    ann = await new_user()
    client = await join(ann)
    request = HttpRequest()
    request.session = SignedCookieStore()
    request.user = ann
    await sync_to_async(login)(request, ann, "django.contrib.auth.backends.ModelBackend")

    await sync_to_async(logout)(request)

    await require_end(client)

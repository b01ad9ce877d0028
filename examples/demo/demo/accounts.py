"""The accounts that the demo makes for you, and the sign-in page that offers them."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest


class Account(NamedTuple):
    """One account to try; its password is printed, so never do this on a real site."""

    username: str
    password: str
    is_staff: bool = False


ACCOUNTS = (
    Account("ann", "anchor"),
    Account("bob", "buoy"),
    Account("admin", "admiral", is_staff=True),
)


def create_accounts() -> None:
    """Create the accounts that do not exist yet."""
    for name, password, is_staff in ACCOUNTS:
        if not User.objects.filter(username=name).exists():
            create = User.objects.create_superuser if is_staff else User.objects.create_user
            create(name, password=password)


class SignedInRequest(HttpRequest):
    """What a view gets behind ``login_required``; for type checkers only."""

    user: User


class SignInView(LoginView):
    """Django's sign-in page, with a button for each account of the demo."""

    template_name = "sign_in.html"
    redirect_authenticated_user = True
    extra_context: dict[str, Any] = {"accounts": ACCOUNTS}

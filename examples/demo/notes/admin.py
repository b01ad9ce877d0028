"""An admin action that reaches the people it is about while they look at a page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet

from demo.accounts import SignedInRequest
from notes.push import send_note

admin.site.unregister(User)


@admin.register(User)
class PeopleAdmin(UserAdmin):
    """Django's own list of users, with one more action."""

    actions = ["hail"]

    @admin.action(description="Hail selected users with a note")
    def hail(self, request: SignedInRequest, queryset: QuerySet[Any]) -> None:
        """Send a note to everyone selected."""
        for user in queryset:
            send_note(request.user, user, "Ahoy from the bridge!")
        self.message_user(request, f"Hailed {len(queryset)}.")

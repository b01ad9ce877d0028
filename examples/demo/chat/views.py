"""The chat page."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from chat.forms import RoomForm, first_error
from chat.models import LONGEST_LINE, Room
from chat.topics import RoomTopic


@login_required
def first_room(request: HttpRequest) -> HttpResponse:
    """Go to the oldest room."""
    return redirect("room", get_object_or_404(Room.objects.order_by("pk")[:1]).slug)


@login_required
def room(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one room, with the way to the others."""
    context = {
        "room": get_object_or_404(Room, slug=slug),
        "topic": RoomTopic.topic_name(slug=slug),
        "rooms": Room.objects.order_by("pk"),
        "longest_line": LONGEST_LINE,
    }
    return render(request, "room.html", context)


@login_required
@require_POST
def new_room(request: HttpRequest) -> HttpResponse:
    """Open a room, or find the one that has this name already."""
    form = RoomForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("chat")
    found, _ = Room.objects.get_or_create(slug=form.cleaned_data["name"])
    return redirect("room", found.slug)

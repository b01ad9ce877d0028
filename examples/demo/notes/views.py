"""The notes page: ordinary synchronous views that send to live sockets."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from demo.accounts import SignedInRequest
from notes.forms import NoteForm
from notes.push import mark_all_read, send_note


@login_required
def notes(request: SignedInRequest) -> HttpResponse:
    """Write a note; received ones are on every page, see ``templatetags/inbox.py``."""
    form = NoteForm(request.POST or None)
    if form.is_valid():
        note = send_note(request.user, **form.cleaned_data)
        messages.success(request, f"Sent to {note.recipient}.")
        return redirect("notes")
    return render(request, "notes.html", {"form": form})


@login_required
@require_POST
def read(request: SignedInRequest) -> HttpResponse:
    """Mark all notes of this person as read."""
    mark_all_read(request.user)
    return redirect("notes")

"""Pages under /notes/."""

from __future__ import annotations

from django.urls import path

from notes import views

urlpatterns = [
    path("", views.notes, name="notes"),
    path("read/", views.read, name="notes-read"),
]

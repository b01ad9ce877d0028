"""Pages under /chat/."""

from __future__ import annotations

from django.urls import path

from chat import views

urlpatterns = [
    path("", views.first_room, name="chat"),
    path("new/", views.new_room, name="new-room"),
    path("room/<slug:slug>/", views.room, name="room"),
]

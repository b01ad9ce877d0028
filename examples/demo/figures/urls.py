"""The dashboard's address."""

from __future__ import annotations

from django.urls import path

from figures import views

urlpatterns = [path("", views.dashboard, name="dashboard")]

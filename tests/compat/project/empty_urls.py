"""A URL configuration without a single route."""

from __future__ import annotations

urlpatterns: list[object] = []

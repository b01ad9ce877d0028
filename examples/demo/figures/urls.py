"""The dashboard's page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.urls import path
from django.views.generic import TemplateView

dashboard = login_required(TemplateView.as_view(template_name="dashboard.html"))
urlpatterns = [path("", dashboard, name="dashboard")]

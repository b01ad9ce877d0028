"""The dashboard's page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from figures.ticker import recent


@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the last minute and a half; what follows comes through the topic."""
    return render(request, "dashboard.html", {"points": list(recent)})

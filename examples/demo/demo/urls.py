"""The pages of the demo; the sockets are routed in ``demo.asgi``."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from demo.accounts import SignInView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chat")),
    path("chat/", include("chat.urls")),
    path("notes/", include("notes.urls")),
    path("dashboard/", include("figures.urls")),
    path("sign-in/", SignInView.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("demo/mark.svg"))),
]

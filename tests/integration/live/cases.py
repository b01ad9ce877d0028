"""Test cases that pass with databases on disk, whether a thread or another process is the server.

``test_live_server.py`` runs them through ``django test``, once for each.
"""

from __future__ import annotations

import multiprocessing
import os
import urllib.request

from django.contrib.auth.models import User
from websockets.sync.client import connect

from channels.testing import ChannelsLiveServerTestCase
from channels.testing.live import ServerThread
from tests.unit.channels.testing.test_transactions import TransactionTest

__all__ = ["OnDiskTest", "TransactionTest"]

METHOD = os.environ["SERVER"]

if METHOD == "thread":
    Server = ServerThread
else:
    multiprocessing.set_start_method(METHOD, force=True)
    # Its class takes the start method when it is made.
    from daphne.testing import DaphneProcess as Server  # type: ignore[assignment]


class OnDiskTest(ChannelsLiveServerTestCase):
    ProtocolServerProcess = Server
    databases = ("default", "other")

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.live_server_url + path) as response:  # noqa: S310 - http
            return str(response.read().decode())

    def test_the_server_sees_what_the_test_wrote_in_every_database(self) -> None:
        User.objects.create(username="ann")
        User.objects.using("other").create(username="olga")

        answers = [self.get(f"/sync/{alias}/") for alias in ("default", "other")]

        assert answers == ["hello ann", "hello olga"]

    def test_the_test_sees_what_the_server_wrote(self) -> None:
        for kind, name in (("sync", "bob"), ("async", "cid")):
            with connect(f"{self.live_server_ws_url}/{kind}/") as socket:
                socket.send(name)
                assert socket.recv(20).endswith(name)

        assert User.objects.count() == 2

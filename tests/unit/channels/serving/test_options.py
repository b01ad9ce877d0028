"""Options that make sense together, and whose proxy headers are believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels.serving.options import Options, problem_of


def test_the_defaults_make_sense() -> None:
    assert problem_of(Options()) is None


def test_a_drain_takes_at_least_its_window() -> None:
    assert problem_of(Options(drain_window=9, drain_timeout=3)) == (
        "--drain-timeout (3) must not be shorter than --drain-window (9)."
    )


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    file = tmp_path / "pem"
    file.touch()

    assert "give both, or neither" in (problem_of(Options(tls_certificate=str(file))) or "")
    assert problem_of(Options(tls_certificate=str(file), tls_key=str(file))) is None
    assert "there is no file '/nowhere'" in (
        problem_of(Options(tls_certificate=str(file), tls_key="/nowhere")) or ""
    )


def test_proxies_on_this_host_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    assert Options().trusted == "127.0.0.1,::1"
    assert Options(unix_socket="/run/x").trusted == "*"
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    assert Options().trusted == "10.0.0.1"
    assert Options(trusted_proxies="", unix_socket="/run/x").trusted == ""

"""tools/matrix.py: which pairs there are, and what a missing one means."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tools import matrix


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the matrix nothing to run on."""
    monkeypatch.setattr(matrix, "find_python", lambda version: None)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("CHANNELS_TEST_REQUIRE", raising=False)


def test_every_supported_version_is_in_a_pair() -> None:
    project = tomllib.loads((matrix.ROOT / "pyproject.toml").read_text())["project"]
    named = "\n".join(project["classifiers"])

    pythons = set(re.findall(r"Python :: (3\.\d+)", named))
    djangos = set(re.findall(r"Django :: (\d\.\d)", named))

    assert pythons == {pair.python for pair in matrix.PAIRS}
    assert djangos == {pair.django for pair in matrix.PAIRS}


def test_each_pair_has_pinned_requirements() -> None:
    missing = [p for pair in matrix.PAIRS for p in pair.requirements if not p.is_file()]

    assert missing == []


def test_the_running_python_is_found() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    found = matrix.find_python(version)

    assert found is not None
    assert Path(found).exists()


def test_a_python_that_nobody_has_is_not_found() -> None:
    found = matrix.find_python("2.99")

    assert found is None


@pytest.mark.usefixtures("no_python")
def test_a_missing_pair_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status = matrix.main([])

    assert status == 0
    assert "Python 3.13 x Django 6.1: missing" in capsys.readouterr().out


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize(
    ("name", "value"), [("CI", "true"), ("CHANNELS_TEST_REQUIRE", "browser,matrix")]
)
def test_a_missing_pair_fails_where_all_are_required(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    status = matrix.main([])

    assert status == 1

"""The pins: exact, with hashes, without addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILED = sorted((ROOT / "requirements").glob("*.txt"))


def entries(path: Path) -> list[str]:
    """Return each requirement with the lines that belong to it."""
    return re.split(r"\n(?=[a-z])", path.read_text().strip())


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_every_requirement_is_exact_and_has_a_hash(path: Path) -> None:
    loose = [
        e for e in entries(path) if not re.match(r"[\w.-]+==\S+.*--hash=sha256:", e, re.DOTALL)
    ]

    assert loose == []


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_no_requirement_names_an_address_or_a_folder_of_one_machine(path: Path) -> None:
    found = re.findall(r".*(?:://|--(?:extra-)?index|--find-links|(?<!\w)/).*", path.read_text())

    assert found == []


def test_the_demo_has_every_dependency_of_the_project_and_its_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["server"]]

    names = {re.split(r"[^\w-]", each)[0].lower() for each in asked}
    pinned = {each.split("==")[0] for each in entries(ROOT / "requirements" / "demo.txt")}

    assert names <= pinned

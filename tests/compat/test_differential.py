"""Each scenario shows the same on both sides, or what the table of differences says."""

from __future__ import annotations

import fcntl
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.compat import run, sides
from tests.compat.differences import DIFFERENCES

pytestmark = [pytest.mark.compat, pytest.mark.timeout(600)]

SCENARIOS = {each.id: each for each in sides.scenarios()}
MODULES = {each.module for each in SCENARIOS.values()}
COVERAGE = Path(__file__).parent / "coverage.md"
DOCUMENT = sides.HERE.parents[1] / "docs" / "reference" / "differences.md"


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> dict[sides.Side, sides.Observations]:
    """Play every scenario on both sides, once for all workers of a run."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run.both_sides()
    shared = tmp_path_factory.getbasetemp().parent / "compat.json"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            shared.write_text(json.dumps(run.both_sides()))
    return json.loads(shared.read_text())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_both_sides_show_what_is_agreed(
    scenario: str, observed: dict[sides.Side, sides.Observations]
) -> None:
    upstream, ours = observed["upstream"][scenario], observed["ours"][scenario]

    assert "seen" in upstream, f"the scenario fails upstream:\n{upstream.get('failed')}"
    assert "seen" in ours, f"the scenario fails on our side:\n{ours.get('failed')}"
    if scenario in DIFFERENCES:
        assert ours["seen"] == DIFFERENCES[scenario].ours
        assert ours["seen"] != upstream["seen"], "the declared difference has gone: remove it"
    else:
        assert ours["seen"] == upstream["seen"], SCENARIOS[scenario].docstring


def test_every_difference_is_documented_and_nothing_else() -> None:
    documented = _scenarios_named_in(DOCUMENT)

    assert documented == set(DIFFERENCES)


def test_every_scenario_says_which_rule_it_pins() -> None:
    unsaid = [
        each.id
        for each in SCENARIOS.values()
        if not re.match(r"Contract (0[0-8]|1[0-3])\b", each.docstring)
    ]

    assert unsaid == []


def test_the_coverage_table_names_scenarios_that_exist() -> None:
    named = _scenarios_named_in(COVERAGE)

    assert named - set(SCENARIOS) == set()
    assert len(named) > 200


def test_differences_are_declared_for_scenarios_that_exist() -> None:
    assert set(DIFFERENCES) - set(SCENARIOS) == set()


def test_every_reason_is_said() -> None:
    unsaid = [each for each, difference in DIFFERENCES.items() if not difference.reason.strip()]

    assert unsaid == []


def _scenarios_named_in(document: Path) -> set[str]:
    names: list[Any] = re.findall(r"`(\w+)\.(\w+)`", document.read_text())
    return {f"{module}.{name}" for module, name in names if module in MODULES}

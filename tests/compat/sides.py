"""Play the scenarios on one side, upstream's or ours, and collect what was seen.

Nothing here imports Django or Channels: the scenarios run in the side's own Python,
one process for each module under ``scenarios/``, so that a stuck thread or a crash
spoils one module and no other.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.compat import environment

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE / "scenarios"
MODULE_SECONDS = 120

Side = Literal["upstream", "ours"]
Observations = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """One scenario: where it is and what it says it pins."""

    module: str
    name: str
    docstring: str

    @property
    def id(self) -> str:
        """Name the scenario as the tables and the test ids do."""
        return f"{self.module}.{self.name}"


def scenarios() -> list[Scenario]:
    """Find every scenario without importing it: public functions of the modules."""
    found = []
    for path in sorted(SCENARIOS.glob("[!_]*.py")):
        for node in ast.parse(path.read_text()).body:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if function and not node.name.startswith("_"):
                found.append(Scenario(path.stem, node.name, ast.get_docstring(node) or ""))
    return found


def observe(side: Side, only: str | None = None) -> Observations:
    """Play the scenarios whose id contains ``only`` and return what each observed.

    Each value is ``{"seen": …}``, or ``{"failed": traceback}`` where the scenario itself
    did not get through.
    """
    chosen = [each for each in scenarios() if only is None or only in each.id]
    observations: Observations = {}
    for module in dict.fromkeys(each.module for each in chosen):
        names = [each.name for each in chosen if each.module == module]
        observations |= _play(side, module, names)
    return observations


def python_of(side: Side) -> Path:
    """Return the interpreter of one side; upstream's is built when it is missing."""
    return environment.ensure() if side == "upstream" else Path(sys.executable)


def _play(side: Side, module: str, names: list[str]) -> Observations:
    with tempfile.TemporaryDirectory(prefix="compat-") as directory:
        results = Path(directory) / "results"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO_")}
        environ |= {"COMPAT_SIDE": side, "COMPAT_DIRECTORY": directory, "PYTHONWARNINGS": "ignore"}
        command = [str(python_of(side)), str(HERE / "play.py"), module, str(results), *names]
        try:
            done = subprocess.run(
                command,
                env=environ,
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=MODULE_SECONDS,
                check=False,
            )
            said = f"exit {done.returncode}\n{done.stderr}"
        except subprocess.TimeoutExpired:
            said = f"no end within {MODULE_SECONDS} s"
        lines = results.read_text().splitlines() if results.exists() else []
    played = dict(json.loads(line) for line in lines)
    return {f"{module}.{name}": played.get(name, {"failed": said}) for name in names}

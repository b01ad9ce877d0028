"""The environment in which upstream runs: upstream from the package index, nothing of ours.

``ensure()`` builds it once under ``.venvs/upstream`` and reuses it while the pins
below, Python, Django and asgiref stay the same. Django and asgiref are taken at the
versions that run our own side, so that a difference is ours or upstream's alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / ".venvs" / "upstream"
UPSTREAM = ("channels==4.3.2", "daphne==4.2.3", "channels-redis==4.3.0", "redis<8")
SHARED = ("Django", "asgiref")


def requirements() -> list[str]:
    """Return what the environment holds, as requirement strings."""
    same = [f"{name}=={importlib.metadata.version(name)}" for name in SHARED]
    return [*UPSTREAM, *same]


def ensure() -> Path:
    """Return upstream's Python, building the environment when there is none that fits.

    Raises:
        RuntimeError: The packages could not be installed; the text of pip is included.
    """
    python = DIRECTORY / "bin" / "python"
    stamp = DIRECTORY / "compat.json"
    wanted = json.dumps({"python": platform.python_version(), "requirements": requirements()})
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(DIRECTORY)])
    _run([str(python), "-m", "pip", "install", "--quiet", *requirements()])
    stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    print(ensure())

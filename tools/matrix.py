"""Run the quick tests on each pair of Python and Django that this machine has.

    python tools/matrix.py [ARGUMENTS FOR PYTEST ...]

Each pair has an environment of its own under ``.venvs``, kept until its requirements change.
A pair whose Python is missing is named; with ``CI=true`` or ``CHANNELS_TEST_REQUIRE=matrix`` it
fails the run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = str(Path(sys.executable).with_name("uv"))
QUICK: Final = ("tests/unit", "tests/contract")


@dataclass(frozen=True)
class Pair:
    """One Python with one Django, each by its minor version."""

    python: str
    django: str

    def __str__(self) -> str:
        return f"Python {self.python} x Django {self.django}"

    @property
    def environment(self) -> Path:
        """Return the folder of its environment."""
        return ROOT / ".venvs" / f"py{self.python}-django{self.django}"

    @property
    def requirements(self) -> tuple[Path, ...]:
        """Return its pinned requirements."""
        folder = ROOT / "requirements"
        return (folder / "test.txt", folder / f"django-{self.django}.txt")


# Django 6 needs Python 3.12.
PAIRS: Final = (
    Pair("3.11", "5.2"),
    *(Pair(python, django) for python in ("3.12", "3.13") for django in ("5.2", "6.0", "6.1")),
)


def find_python(version: str) -> Path | None:
    """Return an interpreter of that minor version, from PATH or among pyenv's."""
    for candidate in _candidates(version):
        asked = [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        # A shim of pyenv exists for versions that are not switched on, and then fails.
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    for name in (f"python{version}", "python3"):
        if found := shutil.which(name):
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def prepare(pair: Pair, interpreter: Path) -> str:
    """Return the Python of the pair's environment, made or renewed where it is stale."""
    python = str(pair.environment / "bin" / "python")
    stamp = pair.environment / "stamp"
    wanted = _fingerprint(pair, interpreter)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    _uv("venv", "--clear", "--python", str(interpreter), str(pair.environment))
    pinned = [argument for path in pair.requirements for argument in ("-r", str(path))]
    _uv("pip", "install", "--python", python, "--require-hashes", *pinned)
    _uv(
        *("pip", "install", "--python", python),
        *("--no-deps", "--no-build-isolation", "--editable", str(ROOT)),
    )
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _fingerprint(pair: Pair, interpreter: Path) -> str:
    digest = hashlib.sha256(str(interpreter).encode())
    for path in (*pair.requirements, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _uv(*arguments: str) -> None:
    subprocess.run([UV, *arguments, "--quiet", "--no-config"], check=True, cwd=ROOT)


def run(pair: Pair, pytest_arguments: list[str]) -> str:
    """Run the quick tests on one pair; return the word for what came of it."""
    interpreter = find_python(pair.python)
    if interpreter is None:
        return "missing"
    python = prepare(pair, interpreter)
    versions = "import sys, django; print(sys.version.split()[0], django.__version__)"
    shown = subprocess.run([python, "-c", versions], capture_output=True, text=True, check=True)
    print(f"== {pair}: {' '.join(shown.stdout.split())}", flush=True)
    tests = [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    done = subprocess.run([*tests, *QUICK, *pytest_arguments], cwd=ROOT, check=False)
    return "passed" if done.returncode == 0 else "FAILED"


def main(pytest_arguments: list[str]) -> int:
    """Run every pair, print what came of each and return the exit status."""
    outcomes = {}
    for pair in PAIRS:
        start = time.monotonic()
        outcomes[pair] = f"{run(pair, pytest_arguments)} in {time.monotonic() - start:.0f} s"
    print("\n".join(f"{pair}: {outcome}" for pair, outcome in outcomes.items()))
    words = {outcome.split()[0] for outcome in outcomes.values()}
    required = os.environ.get("CHANNELS_TEST_REQUIRE", "").split(",")
    all_needed = os.environ.get("CI") == "true" or "matrix" in required
    return 1 if "FAILED" in words or ("missing" in words and all_needed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

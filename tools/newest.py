"""Run the tests that start servers of their own once more, on the newest Python that there is.

    python tools/newest.py [ARGUMENTS FOR PYTEST ...]

From Python 3.12 on handlers begin in another way, and `make test` runs on whichever Python made
``.venv``. The environment, with all that is pinned for development, stands under ``.venvs``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import matrix
from matrix import PAIRS, ROOT, Pair

# From Python 3.12 on hypercorn, when it stops, waits for its clients to close their WebSockets.
HYPERCORN: Final = "test_servers.py::test_a_server_that_stops_closes_with_1012[hypercorn]"
DEFAULT: Final = ["tests/integration", f"--deselect=tests/integration/{HYPERCORN}"]


class Development(Pair):
    """A Python with everything for development, of which there is one Django."""

    @property
    def environment(self) -> Path:
        """Return the folder of its environment."""
        return ROOT / ".venvs" / f"dev-py{self.python}"

    @property
    def requirements(self) -> tuple[Path, ...]:
        """Return its pinned requirements."""
        return (ROOT / "requirements" / "dev.txt",)


def main(pytest_arguments: list[str]) -> int:
    """Run the tests; return the exit status."""
    newest = Development(PAIRS[-1].python, PAIRS[-1].django)
    interpreter = matrix.find_python(newest.python)
    if interpreter is None:
        print(f"There is no Python {newest.python}, on PATH or in pyenv.")
        return 1
    python = matrix.prepare(newest, interpreter)
    chosen = pytest_arguments or DEFAULT
    return subprocess.run([python, "-m", "pytest", "-q", *chosen], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

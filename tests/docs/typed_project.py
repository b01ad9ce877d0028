"""A project that is typed in from pages of the documentation, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
BLOCK: Final = re.compile(r"^```(?:python|html|js)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The first line of a block says which file it is: `# a/b.py`, or `# add to a/b.py`.
HEAD: Final = re.compile(r"(?:#|//|<!--) (?P<add>add to )?(?P<path>[\w/.]+)(?: -->)?\n")


class TypedProject:
    """``django-admin startproject mysite .`` and ``startapp chat``, and what the pages add.

    Args:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("-m", "django", "startproject", "mysite", ".")
        self.run("manage.py", "startapp", "chat")

    def run(self, *arguments: str, **environment: str) -> str:
        """Run Python and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self._environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Python; what it prints goes to ``server.log``."""
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )

    def type_in(self, page: str, **instead: str) -> list[str]:
        """Write each block of a page where its first line says; return the paths.

        Args:
            page: Its path below the documentation.
            **instead: What is true here instead of what the page says, by that.
        """
        written = []
        for block in BLOCK.findall((DOCS / page).read_text()):
            head = HEAD.match(block)
            assert head, f"{page}: a block does not begin with the name of its file:\n{block}"
            target = self.folder / head["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            text = block[head.end() :]
            for said, true in instead.items():
                text = text.replace(said, true)
            with target.open("a" if head["add"] else "w") as file:
                file.write("\n" + text)
            written.append(head["path"])
        return written

    def _environment(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}

"""The tutorial, typed in as it stands: its project passes its own check and its own tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial"
PAGES = sorted(TUTORIAL.glob("[0-9]*.md"))

BLOCK = re.compile(r"^```(?:python|html)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The first line of a block says which file it is: `# a/b.py`, or `# add to a/b.py`.
HEAD = re.compile(r"(?:#|<!--) (?P<add>add to )?(?P<path>[\w/.]+)(?: -->)?\n")


def run(project: Path, *arguments: str) -> str:
    environ = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def type_in(page: Path, project: Path) -> list[str]:
    """Write each block of a page where its first line says; return the paths."""
    written = []
    for block in BLOCK.findall(page.read_text()):
        head = HEAD.match(block)
        assert head, f"{page.name}: a block does not begin with the name of its file:\n{block}"
        target = project / head["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a" if head["add"] else "w") as file:
            file.write("\n" + block[head.end() :])
        written.append(head["path"])
    return written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_tutorial_says_to_type_runs(page: Path, tmp_path: Path) -> None:
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    run(tmp_path, "manage.py", "startapp", "chat")

    written = type_in(page, tmp_path)

    assert "chat/tests.py" in written
    run(tmp_path, "manage.py", "check", "--fail-level", "WARNING")
    assert re.search(r"Ran [1-9]\d* tests", run(tmp_path, "-W", "error", "manage.py", "test"))

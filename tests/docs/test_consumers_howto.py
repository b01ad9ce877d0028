"""The chat of the page about consumers, typed in: it passes its own check and its own tests."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.typed_project import TypedProject


def test_what_the_page_about_consumers_says_to_type_runs(tmp_path: Path) -> None:
    project = TypedProject(tmp_path)

    written = project.type_in("howto/consumers.md")

    assert "chat/tests.py" in written
    project.run("manage.py", "check", "--fail-level", "WARNING")
    assert re.search(r"Ran [1-9]\d* tests", project.run("-W", "error", "manage.py", "test"))

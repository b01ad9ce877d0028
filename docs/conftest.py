"""Run the Python code blocks of the documentation, each page from top to bottom.

The tutorial is a project of several files, and the page about Redis needs servers: ``tests/docs``
types in and runs those.
"""

from __future__ import annotations

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["_build/**", "tutorial/**", "howto/redis.md"],
).pytest()

"""Run the Python code blocks of the documentation, each page from top to bottom.

The tutorial and the page about consumers are projects of several files, and the page about Redis
needs servers: ``tests/browser/test_tutorial.py`` and ``tests/docs`` type in and run those.
"""

from __future__ import annotations

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["_build/**", "tutorial/**", "howto/consumers.md", "howto/redis.md"],
).pytest()

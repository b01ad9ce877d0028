"""Measure functions and modules, and fail on one that is too large.

    python tools/shape.py [PATH ...]

Lines of a function run from ``def`` to its end, less its docstring, which is a contract and not
something to follow. Complexity is ruff's to check.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MEASURED: Final = ("src", "tools", "benchmarks", "examples", "tests")

MAX_FUNCTION_LINES: Final = 50
MAX_MODULE_LINES: Final = 500
MAX_POSITIONAL: Final = 3

# Aims, printed beside what is and not enforced.
AIM_MEDIAN: Final = 5
AIM_P90: Final = 25
AIM_MODULE_LINES: Final = 250

# Cases that do not know each other are read one at a time, however many share a file.
MAX_TEST_MODULE_LINES: Final = 1000

CONTRACT: Final = "a signature of the contract"
ALLOWED: Final = {
    "src/channels/db.py:DatabaseSyncToAsync.__init__": CONTRACT,
    "src/channels/db.py:database_sync_to_async": CONTRACT,
    "src/channels/layers/memory.py:InMemoryChannelLayer.__init__": CONTRACT,
    "src/channels/sessions.py:CookieMiddleware.delete_cookie": CONTRACT,
    "src/channels/sessions.py:CookieMiddleware.set_cookie": CONTRACT,
    "src/channels/testing/http.py:HttpCommunicator.__init__": CONTRACT,
    "src/channels/testing/live.py:ServerThread.__init__": CONTRACT,
    "src/channels/testing/websocket.py:WebsocketCommunicator.__init__": CONTRACT,
    "src/channels/worker.py:Worker.__init__": CONTRACT,
    "src/channels_redis/core.py:RedisChannelLayer.__init__": CONTRACT,
    "src/channels_redis/pubsub.py:RedisPubSubChannelLayer.__init__": CONTRACT,
}
"""``path:qualified.name`` of each function whose parameters we do not choose, with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Shape:
    """What was measured of one function."""

    name: str
    lines: int
    positional: int
    """Parameters that can be given by position, without ``self``."""


@dataclass(frozen=True)
class Module:
    """What was measured of one module."""

    path: str
    lines: int
    functions: tuple[Shape, ...]

    def violations(self) -> Iterator[str]:
        """Say what is too large, one sentence each."""
        is_test = self.path.startswith("tests/")
        most = MAX_TEST_MODULE_LINES if is_test else MAX_MODULE_LINES
        if self.lines > most:
            yield f"{self.path}: {self.lines} lines, at most {most}"
        for shape in self.functions:
            place = f"{self.path}:{shape.name}"
            if shape.lines > MAX_FUNCTION_LINES:
                yield f"{place}: {shape.lines} lines, at most {MAX_FUNCTION_LINES}"
            # A test's parameters are its fixtures, which no one passes by position.
            counted = not is_test and place not in ALLOWED
            if shape.positional > MAX_POSITIONAL and counted:
                yield (
                    f"{place}: {shape.positional} positional parameters, at most "
                    f"{MAX_POSITIONAL}; the rest are keyword-only"
                )


def measure(path: str, source: str) -> Module:
    """Measure one module's source."""
    functions = tuple(
        Shape(name, _lines(node), _positional(node, in_class=in_class))
        for name, node, in_class in _functions(ast.parse(source), prefix="", in_class=False)
    )
    return Module(path, len(source.splitlines()), functions)


def _functions(
    parent: ast.AST, *, prefix: str, in_class: bool
) -> Iterator[tuple[str, Function, bool]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, prefix=f"{prefix}{node.name}.", in_class=True)
        elif isinstance(node, Function):
            yield prefix + node.name, node, in_class
            yield from _functions(node, prefix=f"{prefix}{node.name}.", in_class=False)
        else:
            yield from _functions(node, prefix=prefix, in_class=in_class)


def _lines(node: Function) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is None:
        return lines
    docstring = node.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def _positional(node: Function, *, in_class: bool) -> int:
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    is_static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    # A decorator makes methods outside of a class.
    is_method = (in_class and not is_static) or names[:1] == ["self"]
    return len(names) - 1 if is_method and names else len(names)


def modules(roots: list[Path]) -> Iterator[Module]:
    """Measure every module under ``roots`` but those that Django wrote."""
    for root in roots:
        for path in sorted(root.rglob("*.py") if root.is_dir() else [root]):
            if "migrations" not in path.parts:
                name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
                yield measure(name, path.read_text(encoding="utf-8"))


def table(measured: list[Module]) -> str:
    """Draw one row for each top folder."""
    row = "{:<12}{:>8}{:>8}{:>10}{:>8}{:>6}{:>6}{:>9}{:>7}".format
    head = row("", "modules", "lines", "functions", "median", "p90", "max", "modules", "max")
    over = row("", "", "", "", "", "", "", f">{AIM_MODULE_LINES}", "")
    rows = [head, over]
    for top in dict.fromkeys(module.path.split("/")[0] for module in measured):
        chosen = [module for module in measured if module.path.split("/")[0] == top]
        lines = [shape.lines for module in chosen for shape in module.functions] or [0]
        deciles = (
            statistics.quantiles(lines, n=10, method="inclusive") if len(lines) > 1 else lines * 9
        )
        rows.append(
            row(
                top,
                len(chosen),
                sum(module.lines for module in chosen),
                len(lines),
                round(statistics.median(lines)),
                round(deciles[8]),
                max(lines),
                sum(module.lines > AIM_MODULE_LINES for module in chosen),
                max(module.lines for module in chosen),
            )
        )
    rows.append(f"aim: functions of median {AIM_MEDIAN} and 90th percentile {AIM_P90} lines")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Print the table and what is too large; return the exit status."""
    chosen = [Path(each).resolve() for each in arguments]
    measured = list(modules(chosen or [ROOT / each for each in MEASURED if (ROOT / each).exists()]))
    if not measured:
        print("shape: no Python module found", file=sys.stderr)
        return 1
    print(table(measured))
    violations = [each for module in measured for each in module.violations()]
    for each in violations:
        print(each, file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

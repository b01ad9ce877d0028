"""tools/shape.py fails on what is too large and on nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import shape


def function(*, lines: int, docstring: bool = False, parameters: str = "") -> str:
    body = ['    """One.', "", "    Three.", '    """'] if docstring else []
    body += ["    pass"] * (lines - 1)
    return "\n".join([f"def sail({parameters}):", *body])


def violations(source: str, *, path: str = "src/channels/boat.py") -> list[str]:
    return list(shape.measure(path, source).violations())


def test_a_function_of_fifty_lines_and_a_docstring_passes() -> None:
    found = violations(function(lines=50, docstring=True))

    assert found == []


def test_a_longer_function_is_named_with_its_size() -> None:
    found = violations(function(lines=51))

    assert found == ["src/channels/boat.py:sail: 51 lines, at most 50"]


def test_a_fourth_positional_parameter_is_refused() -> None:
    found = violations(function(lines=2, parameters="a, b, c, d"))

    assert found == [
        "src/channels/boat.py:sail: 4 positional parameters, at most 3; the rest are keyword-only"
    ]


def test_self_and_keyword_only_parameters_do_not_count() -> None:
    source = "class Boat:\n    def sail(self, a, b, c, *, d):\n        pass\n"

    found = violations(source)

    assert found == []


def test_a_method_inside_a_branch_is_measured() -> None:
    source = "if True:\n    class Boat:\n        def sail(self, a, b, c, d):\n            pass\n"

    found = violations(source)

    assert [each.split(": ")[0] for each in found] == ["src/channels/boat.py:Boat.sail"]


@pytest.mark.parametrize(("path", "most"), [("src/a.py", 500), ("tests/a.py", 1000)])
def test_a_module_past_its_limit_is_named(path: str, most: int) -> None:
    found = violations("x = 1\n" * (most + 1), path=path)

    assert found == [f"{path}: {most + 1} lines, at most {most}"]


def test_a_test_may_ask_for_many_fixtures() -> None:
    found = violations(function(lines=2, parameters="a, b, c, d"), path="tests/test_boat.py")

    assert found == []


def test_a_violation_ends_the_command_with_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "boat.py"
    module.write_text(function(lines=51))

    status = shape.main([str(module)])

    assert status == 1
    assert "51 lines, at most 50" in capsys.readouterr().err


def test_nothing_to_measure_is_a_failure(tmp_path: Path) -> None:
    status = shape.main([str(tmp_path)])

    assert status == 1


def test_every_exception_to_the_rules_names_a_function_that_has_one() -> None:
    needless = []

    for place in shape.ALLOWED:
        path, name = place.split(":")
        module = shape.measure(path, (shape.ROOT / path).read_text())
        if not any(
            s.name == name and s.positional > shape.MAX_POSITIONAL for s in module.functions
        ):
            needless.append(place)

    assert needless == []

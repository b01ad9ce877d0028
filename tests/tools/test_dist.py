"""tools/dist.py: the wheel carries everything the packages hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tools import dist


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dist.build(tmp_path_factory.mktemp("built"))


def rewritten(wheel: Path, target: Path, *, without: str = "", extra: str = "") -> Path:
    """Copy a wheel, less one file or with one more."""
    copy = target / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(copy, "w") as archive:
        for name in source.namelist():
            if name != without:
                archive.writestr(name, source.read(name))
        if extra:
            archive.writestr(extra, "")
    return copy


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    count = dist.check_contents(wheel)

    assert count > len(dist.NEEDED)


@pytest.mark.parametrize("name", ["channels/py.typed", "channels/management/commands/runworker.py"])
def test_a_missing_file_is_named(wheel: Path, tmp_path: Path, name: str) -> None:
    broken = rewritten(wheel, tmp_path, without=name)

    with pytest.raises(dist.DistError, match=f"lacks {name}"):
        dist.check_contents(broken)


def test_a_file_that_no_package_owns_is_named(wheel: Path, tmp_path: Path) -> None:
    broken = rewritten(wheel, tmp_path, extra="tests/settings.py")

    with pytest.raises(dist.DistError, match=r"holds tests/settings\.py"):
        dist.check_contents(broken)


def test_a_wheel_without_the_licence_is_refused(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    broken = rewritten(wheel, tmp_path, without=licence)

    with pytest.raises(dist.DistError, match="lacks its licence"):
        dist.check_contents(broken)

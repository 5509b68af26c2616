"""The public face: its names, and that each function does what its command does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import scene

import ulecli
from ulecli import Status, UleError, protect, verify
from ulecli.errors import NothingToDo, UsageError
from ulecli.imaging.strength import Strength


def test_all_is_the_public_face() -> None:
    tree = ast.parse(Path(ulecli.__file__).read_text(encoding="utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    repeated = {
        alias.asname: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert repeated == ulecli._HOMES
    assert set(ulecli.__all__) == {"__version__", *repeated}
    assert list(ulecli._HOMES) == sorted(ulecli._HOMES)


@pytest.mark.parametrize("name", [name for name in ulecli.__all__ if name[0] != "_"])
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(ulecli, name)
    assert value.__module__ == ulecli._HOMES[name]
    assert len(value.__doc__) > 20
    assert name in dir(ulecli)


def test_no_module_hides_a_name() -> None:
    code = (
        "import pkgutil, ulecli\n"
        "modules = {module.name for module in pkgutil.iter_modules(ulecli.__path__)}\n"
        "print(modules & set(ulecli.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'guard'"):
        _ = ulecli.guard


def test_three_lines_protect_a_folder(photo_folder, tmp_path, config_home) -> None:
    settings = {"identity": "ada", "strength": "strong", "jobs": 1}
    report = protect(str(photo_folder), output=tmp_path / "out", **settings)
    assert report.config.strength is Strength.STRONG
    assert report.exit_code == 0 and report.count(Status.WRITTEN) == report.count("written") == 4
    found = verify(photo_folder, tmp_path / "out", jobs=1)
    assert len(found) == 4 and not any(one.problems for one in found)
    assert all(one.cue is not None and one.cue.readings["file"].recognised for one in found)
    assert all(one.max_change <= 8 for one in found if one.lossless)


def test_errors_are_typed(tmp_path, config_home) -> None:
    scene().save(tmp_path / "a.png")
    for settings, match in (
        ({"epsilon": 0}, "--eps is 0"),
        ({"metadata": "privat"}, "did you mean private"),
        ({"strength": "strongg"}, "did you mean strong"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"exclude": "*.png"}, "must be several"),
        ({"overwite": True}, "did you mean overwrite"),
        ({"identity": 3}, "takes a text"),
        ({"jobs": "2"}, "takes a whole number"),
        ({"timeout": float("nan")}, "--timeout is nan"),
        ({"output": 3}, "no path"),
        ({"in_place": True}, "--backup DIR"),
        ({"no_backup": True}, "is for --in-place"),
    ):
        with pytest.raises(UsageError, match=match):
            protect(tmp_path, **settings)
    for sources in ([tmp_path], None, b"photos"):
        with pytest.raises(UsageError, match="path"):
            protect(sources)
        with pytest.raises(UsageError, match="path"):
            verify(tmp_path, sources)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(NothingToDo):
        (tmp_path / "empty").mkdir()
        protect(tmp_path / "empty")
    assert issubclass(UsageError, UleError)


def test_evaluate_takes_settings_by_name() -> None:
    with pytest.raises(UsageError, match="did you mean exploiters"):
        ulecli.evaluate(exploiter=("gray",))
    with pytest.raises(UsageError, match="no exploiter"):
        ulecli.evaluate(exploiters=("grey",))

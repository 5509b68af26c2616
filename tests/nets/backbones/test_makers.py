"""What makes perturbations knows no judge: the wall between the two lists, held by what modules import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ulecli

PACKAGE = Path(ulecli.__file__).parent

MAKING = ("perturb", "surrogates", "protection", "transforms", "imaging", "data")
"""Packages that have a part in making perturbations; their nets stand in `nets`."""

PAST_THE_WALL = {"ulecli.nets.backbones.judges", "ulecli.nets.backbones.opening"}
"""Modules by which one gets at a judge."""


def names(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("package", MAKING)
def test_the_making_imports_no_judge(package: str) -> None:
    files = sorted((PACKAGE / package).rglob("*.py"))
    assert files
    for path in files:
        assert not names(path) & PAST_THE_WALL, path


def test_makers_know_no_judge() -> None:
    own = names(PACKAGE / "nets" / "backbones" / "makers.py")
    assert "ulecli.nets.backbones.lite" in own and not own & PAST_THE_WALL

"""The architecture, as a test: a package imports only from floors below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ulecli

PACKAGE = Path(ulecli.__file__).parent

FLOORS = (
    {"errors", "units", "registry", "system"},
    {"formats", "imaging", "nets", "transforms"},
    {"data", "perturb"},
    {"surrogates", "crafting"},
    {"protection", "evaluation"},
    {"verification", "report"},
    {"api", "cli"},
    {"__main__"},
)
"""Packages by floor, the lowest first. Modules of one package may use each other, and so may those of the
lowest floor, but not in a circle."""

THIN = {
    *("errors", "units", "system.devices", "system.worker_kinds", "formats.options", "crafting.layout"),
    *("imaging.strength", "protection.config"),
    *("protection.outcome", "protection.json_records", "protection.summary", "perturb.perturber"),
}
"""Modules outside `cli` that `ulecli --help` enters: nothing heavy may be imported at their top."""

HEAVY = {"PIL", "numpy", "onnx", "onnxruntime", "safetensors", "torch", "torchvision"}

INITS = [path for path in PACKAGE.rglob("*/__init__.py") if path.parent.name != "cli"]

RANKS = {name: rank for rank, names in enumerate(FLOORS) for name in names}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name without `ulecli.`; the face itself is `__init__`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), path)
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every dotted name that an import anywhere in the tree could mean, the longest first."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def uses(name: str) -> set[str]:
    """Return the modules of the package that a module imports, wherever in its body."""
    found = set()
    for target in imported(modules()[name]):
        head, _, rest = target.partition(".")
        if head != "ulecli":
            continue
        while rest and rest not in modules():
            rest = rest.rpartition(".")[0]
        found.add(rest or "__init__")
    return found


def package(name: str) -> str:
    return name.partition(".")[0]


def is_thin(name: str) -> bool:
    return package(name) in ("cli", "__init__", "__main__") or name in THIN


def at_top(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, without what only type checkers read."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            checked_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            if checked_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node
            waiting.append(node)


@pytest.mark.parametrize("name", modules())
def test_every_module_has_a_floor(name: str) -> None:
    assert name == "__init__" or package(name) in RANKS, f"say in FLOORS where ulecli.{name} belongs"


@pytest.mark.parametrize("name", sorted(set(modules()) - {"__init__"}))
def test_imports_go_down(name: str) -> None:
    for target in uses(name) - {"__init__"}:  # anyone may ask the face for the version
        below, here = RANKS[package(target)], RANKS[package(name)]
        fine = below < here or below == here == 0 or package(target) == package(name)
        assert fine, f"ulecli.{name} must not import ulecli.{target}"


def test_there_is_no_cycle() -> None:
    graph = {name: uses(name) for name in modules() if name != "__init__"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert all(order.index(below) < order.index(name) for name, found in graph.items() for below in found)


def test_the_face_imports_nothing_of_the_house_at_its_top() -> None:
    for node in at_top(modules()["__init__"]):
        assert not any(target.startswith("ulecli") for target in imported(node))


@pytest.mark.parametrize("path", INITS, ids=str)
def test_packages_hold_a_docstring_and_no_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) and len(tree.body) == 1, f"{path}: code belongs into modules"


@pytest.mark.parametrize("name", [name for name in modules() if is_thin(name)])
def test_thin_modules_import_nothing_heavy_at_their_top(name: str) -> None:
    for node in at_top(modules()[name]):
        heavy = {target.partition(".")[0] for target in imported(node)} & HEAVY
        assert not heavy, f"ulecli.{name} imports {heavy} in line {node.lineno}; do it inside the function"

"""Each command's help lists what it can end with: all of it, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import scene

import ulecli
from ulecli import errors
from ulecli.cli import main
from ulecli.cli.exit_codes import MEANINGS, exit_codes
from ulecli.data.datasets import open_dataset
from ulecli.errors import ExitCode, UleError

COMMANDS = (
    *("protect", "verify", "report", "evaluate", "man"),
    *(f"surrogate {name}" for name in ("list", "show", "verify", "export", "train")),
)
MISSING_DEVICE = "cuda" if sys.platform == "darwin" else "mps"
SHAPES = ("--dataset", "shapes", "--device", "cpu", "-q")


def hide(*packages: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Make packages look as if they were not installed."""

    def prepare(patch: pytest.MonkeyPatch) -> None:
        for package in packages:
            patch.setitem(sys.modules, package, None)
        for user in ("protection.watch", "imaging.visibility"):
            patch.setattr(f"ulecli.{user}.find_spec", lambda name: None)

    return prepare


def damage(patch: pytest.MonkeyPatch) -> None:
    """Take the surrogates from a folder in which they are damaged."""
    patch.setenv("ULECLI_MODELS", "models")


def mixed(patch: pytest.MonkeyPatch) -> None:
    """Write the images of the data set in another order, into the current folder."""
    images = open_dataset("shapes").train.images.numpy()
    np.save("mixed.npy", images[np.random.default_rng(0).permutation(len(images))])


def unprotected(patch: pytest.MonkeyPatch) -> None:
    """Let every defender fail."""

    def fail(*_: object, **more: object) -> None:
        raise UleError("it does not converge")

    patch.setattr("ulecli.evaluation.training_sets.defend", fail)


WAYS = [
    ("protect p -o out", 0, None),
    ("protect p --eps 0", 2, None),
    ("protect some -o out", 3, None),
    ("protect gone", 4, None),
    ("protect empty", 5, None),
    ("protect p -o file", 6, None),
    (f"protect p -o out --device {MISSING_DEVICE}", 7, None),
    ("protect p -o out", 8, damage),
    ("protect p -o out --watch", 9, hide()),
    ("protect p -o out --key-file file", 10, None),
    ("protect p -o out --ledger file", 11, None),
    ("verify p p --no-cue --eps x", 2, None),
    ("verify p p --no-cue", 3, None),
    ("verify p gone --no-cue", 4, None),
    ("verify empty empty --no-cue", 5, None),
    ("verify p empty --no-cue --figure f.png", 6, None),
    ("verify p p", 8, damage),
    ("verify p p --no-cue --visibility", 9, hide()),
    ("verify p p --key-file gone", 10, None),
    ("report p --eps x", 2, None),
    ("report gone", 4, None),
    ("report p --run empty.jsonl", 5, None),
    ("report p --run run.jsonl -o file/x.html", 6, None),
    ("report file", 11, None),
    ("evaluate --list", 0, None),
    ("evaluate --eps x", 2, None),
    ("evaluate --reproduce figure6 --out r", 3, unprotected),
    ("evaluate --poison gone", 4, None),
    ("evaluate --out file", 6, None),
    (f"evaluate --device {MISSING_DEVICE}", 7, None),
    ("evaluate --defender cifar", 8, damage),
    ("evaluate", 9, hide("onnx")),
    ("evaluate --audit --poison mixed.npy", 12, mixed),
    ("man", 0, None),
    ("man --markdown gone", 2, None),
    ("surrogate list", 0, None),
    ("surrogate list", 8, damage),
    ("surrogate show photo", 0, None),
    ("surrogate show gone", 8, None),
    ("surrogate verify photo", 0, None),
    ("surrogate verify", 8, damage),
    ("surrogate export cifar-linear -o x.onnx", 0, None),
    ("surrogate export cifar-linear -o file/x.onnx", 6, None),
    ("surrogate export gone -o x.onnx", 8, None),
    ("surrogate export photo -o x.onnx", 9, hide("onnx")),
    ("surrogate train cifar-linear --data gone -o new", 4, None),
    ("surrogate train cifar-linear -o file/below", 6, None),
    (f"surrogate train cifar-linear --device {MISSING_DEVICE}", 7, None),
    ("surrogate train cifar-linear", 9, hide("onnx")),
]


@pytest.fixture
def place(tmp_path, config_home, monkeypatch) -> Path:
    """A folder with what the commands above name; what they do not name is gone."""
    for name in ("p", "some", "empty", "models"):
        (tmp_path / name).mkdir()
    for name in ("p", "some"):
        scene(32, 32).save(tmp_path / name / "x.png")
    (tmp_path / "some" / "bad.jpg").write_bytes(b"no photo")
    (tmp_path / "file").write_text("no key, no ledger")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "run.jsonl").write_text('{"type": "photo", "source": "a", "status": "failed", "reason": "r"}')
    for name in ("photo", "cifar"):
        (tmp_path / "models" / f"{name}.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "prepare"), WAYS, ids=[f"{code} {words}" for words, code, _ in WAYS]
)
def test_a_code_that_is_listed_is_one_that_comes(place, monkeypatch, capsys, words, code, prepare):
    if prepare:
        prepare(monkeypatch)
    arguments = words.split()
    if arguments[0] == "evaluate":
        given = [option for option in SHAPES if option.startswith("--") and option in arguments]
        arguments += SHAPES if not given else ["--dataset", "shapes"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert (ended.value.code or 0) == code, capsys.readouterr().err
    assert code in exit_codes(named(words))


def named(words: str) -> str:
    return next(name for name in COMMANDS if words == name or words.startswith(f"{name} "))


SEEN_ELSEWHERE = {ExitCode.OK, ExitCode.FAILED, ExitCode.USAGE, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
"""Any command can end so; tests of signals, of a full stdout and of wrong options are with the commands."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_code_that_is_listed_has_a_way_to_it(command):
    ways = {code for words, code, _ in WAYS if named(words) == command}
    assert set(exit_codes(command)) - SEEN_ELSEWHERE <= ways


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_lists_them(command, capsys):
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    listed = capsys.readouterr().out.partition("Exit codes:\n")[2]
    found = {int(code): words for code, words in re.findall(r"^ +(\d+) +(.+)$", listed, re.MULTILINE)}
    assert found == {int(code): words for code, words in exit_codes(command).items()}


def test_every_code_has_words():
    assert set(MEANINGS) == set(ExitCode)


# What is raised in the modules that a command uses, but never ends it:
CAUGHT = {
    "protect": set(),
    "verify": {
        "DeviceUnavailable",  # it reads the cue on the CPU
        "LedgerError",  # without a ledger it goes by names
    },
    "report": {
        *("PhotoError", "ModelError", "DeviceUnavailable"),  # a thumbnail that can't be drawn is left out
        "MissingExtra",  # it does without, and says so
    },
    "evaluate": {
        "NothingToDo",  # by default there is a defender
        "PhotoError",  # a picture that can't be read ends it as data that won't do
    },
    "surrogate": {"PhotoError"},  # likewise
}


@pytest.mark.parametrize("command", CAUGHT)
def test_whatever_the_modules_of_a_command_raise_is_listed(command):
    raised = {name for module in used_by(f"ulecli.cli.{command}") for name in raised_in(module)}
    codes = {getattr(errors, name).exit_code for name in raised - CAUGHT[command]}
    listed = {code for name in COMMANDS if name.split()[0] == command for code in exit_codes(name)}
    assert codes - SEEN_ELSEWHERE == listed - SEEN_ELSEWHERE


def modules() -> dict[str, ast.Module]:
    package = Path(ulecli.__file__).parent
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = modules()
RAISED = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, UleError) and value.exit_code not in SEEN_ELSEWHERE
}


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the modules that are imported anywhere in a tree, but for those that only a type checker sees."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in MODULES else node.module
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def used_by(module: str) -> set[str]:
    """Return a module and all that it imports, and they import."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in found:
            found.add(name)
            waiting += imports(MODULES[name])
    return found - {"ulecli.cli", "ulecli"}


def raised_in(module: str) -> set[str]:
    calls = (node for node in ast.walk(MODULES[module]) if isinstance(node, ast.Call))
    return RAISED & {call.func.id for call in calls if isinstance(call.func, ast.Name)}

"""Countermeasures, nets and defenders of a researcher's own, beside those that ship.

A plugin is a Python file or module with dicts at its top: EXPLOITERS, NETS, DEFENDERS, each from names to
what is named. Whoever calls from Python may give a `Plugin` of objects instead, which stays in one process.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import nn

from ulecli.errors import NoSuchPath, UleError, UsageError, shown
from ulecli.evaluation.defenders import DEFENDERS
from ulecli.evaluation.exploiters.countermeasure import Countermeasure, Family, Fitted, Preparation, Stored
from ulecli.evaluation.exploiters.registry import FAMILIES
from ulecli.evaluation.order import Defender, Order, Protect
from ulecli.nets.registry import NETS, Net
from ulecli.registry import Registry

__all__ = [
    "Countermeasure",
    "Defender",
    "Family",
    "Fitted",
    "Net",
    "Order",
    "Plugin",
    "Preparation",
    "Registries",
    "Stored",
    "load_plugin",
    "registries",
]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

_TABLES = ("EXPLOITERS", "NETS", "DEFENDERS")
"""What a plugin's dicts are called."""


@dataclass(frozen=True)
class Registries:
    """What an evaluation can name.

    Attributes:
        exploiters: Families of countermeasures.
        nets: Nets.
        defenders: Defenders.
    """

    exploiters: Registry[Family]
    nets: Registry[Net]
    defenders: Registry[Defender]


SHIPPED = Registries(FAMILIES, NETS, DEFENDERS)


@dataclass(frozen=True, eq=False)
class Plugin:
    """What joins the registries for the evaluations that name it.

    Attributes:
        exploiters: By name, in small letters. A `Countermeasure` counts as a family without a number.
        nets: By name. A function that builds a module, or the module's class, counts as a `Net`.
        defenders: By name. A function (see `ulecli.evaluation.order.Protect`) counts as a `Defender`.
        source: The file or module it was loaded from; "" for objects, which can't go to other processes.
        sha256: Of the code; of objects a random number, as nothing can say whether others are the same.

    Raises:
        UsageError: it defines nothing, an entry is none of these, or a name can't be typed or is taken.
    """

    exploiters: Mapping[str, Family | Countermeasure] = field(default_factory=dict)
    nets: Mapping[str, Net | Callable[..., nn.Module]] = field(default_factory=dict)
    defenders: Mapping[str, Defender | Protect] = field(default_factory=dict)
    source: str = ""
    sha256: str = field(default_factory=lambda: secrets.token_hex(32))

    def __post_init__(self) -> None:
        for table, entries in zip(_TABLES, (self.exploiters, self.nets, self.defenders), strict=True):
            if not isinstance(entries, Mapping):
                raise UsageError(f"{self.label}: {table} is a {type(entries).__name__}, not a dict by name")
            for name in entries:
                self._check_name(table, name)
        if not (self.exploiters or self.nets or self.defenders):
            raise UsageError(
                f"{self.label} defines nothing: it needs a dict {', '.join(_TABLES[:2])} or {_TABLES[2]}"
            )
        self.added_to(SHIPPED)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"plugin {shown(self.source)}" if self.source else "a plugin given as objects"

    def added_to(self, known: Registries) -> Registries:
        """Return registries with the plugin's entries behind those that are known.

        Raises:
            UsageError: a name is taken, or an entry can't be used.
        """
        return Registries(
            known.exploiters.joined(
                {n: self._family(n, one) for n, one in self.exploiters.items()}, self.label
            ),
            known.nets.joined({n: self._net(n, one) for n, one in self.nets.items()}, self.label),
            known.defenders.joined(
                {n: self._defender(n, one) for n, one in self.defenders.items()}, self.label
            ),
        )

    def __reduce__(self) -> tuple[Callable[..., Plugin], tuple[str, str]]:
        """Travel to another process by name, as functions can't."""
        if not self.source:
            raise UsageError(f"{self.label} can't go to another process: take one job, or write it to a file")
        return load_plugin, (self.source, self.sha256)

    def _family(self, name: str, value: object) -> Family:
        if isinstance(value, Countermeasure):
            return Family(self.label, lambda _: value)
        if isinstance(value, Family):
            return value
        raise self._unfit("EXPLOITERS", name, value, "a Family or a Countermeasure")

    def _net(self, name: str, value: object) -> Net:
        if isinstance(value, Net):
            return value
        if callable(value) and not isinstance(value, nn.Module):
            return Net(value, _first_line(value) or self.label)
        raise self._unfit("NETS", name, value, "a Net, or a function or class that builds a module")

    def _defender(self, name: str, value: object) -> Defender:
        if isinstance(value, Defender):
            return value
        if callable(value):
            return Defender(value, _first_line(value) or self.label)
        raise self._unfit("DEFENDERS", name, value, "a Defender, or a function that protects")

    def _unfit(self, table: str, name: str, value: object, wanted: str) -> UsageError:
        return UsageError(
            f"{self.label}: {table}['{name}'] is a {type(value).__name__}; it has to be {wanted}"
        )

    def _check_name(self, table: str, name: object) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(
                f"{self.label}: {table} has the name {name!r}; use letters, digits and - _ . alone"
            )
        if table == "EXPLOITERS" and name != name.lower():
            raise UsageError(f"{self.label}: the exploiter '{name}' has to be in small letters")


def registries(plugins: Sequence[Plugin] = ()) -> Registries:
    """Return what ships and what plugins define.

    Raises:
        UsageError: two of them use the same name.
    """
    known = SHIPPED
    for plugin in plugins:
        known = plugin.added_to(known)
    return known


def load_plugin(source: str | Path, sha256: str = "") -> Plugin:
    """Import a plugin.

    Args:
        source: A file FILE.py, whose folder it may import from, or the dotted name of a module. A module's
            digest is over all code of its package.
        sha256: What it has to be; "" for anything.

    Raises:
        NoSuchPath: there is no such file.
        UsageError: it can't be imported, or defines nothing that can be used.
        UleError: it is not what `sha256` says.
    """
    name = str(source)
    path = Path(name)
    is_file = path.suffix == ".py" or len(path.parts) > 1
    if is_file and not path.is_file():
        raise NoSuchPath(f"there is no plugin {shown(name)}; name a file FILE.py or a module")
    if is_file:
        name = str(path.resolve())
        found = _sha256([path])
    else:
        found = _sha256(_module_files(name))
    if sha256 and found != sha256:
        raise UleError(f"plugin {shown(name)} was changed while trainings ran; start again")
    return _loaded(name, is_file, found)


_imported: dict[str, str] = {}
"""Digests of the modules that are in use; Python imports each once."""


@cache
def _loaded(source: str, is_file: bool, sha256: str) -> Plugin:
    if not is_file and _imported.setdefault(source, sha256) != sha256:
        raise UleError(f"plugin {shown(source)} was changed since it was imported; start Python again")
    try:
        module = _run_file(Path(source), sha256) if is_file else importlib.import_module(source)
    except UleError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's code raises what it likes
        raise _not_imported(source, error) from error
    exploiters, nets, defenders = (getattr(module, table, {}) for table in _TABLES)
    return Plugin(exploiters, nets, defenders, source, sha256)


def _first_line(value: object) -> str:
    return (value.__doc__ or "").strip().partition("\n")[0]


def _run_file(path: Path, sha256: str) -> ModuleType:
    """Run a file as a module of a name of its own."""
    name = f"ulecli_plugin_{sha256[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # by its ending it is Python
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(path.parent))  # as `python FILE.py` has it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module


def _module_files(name: str) -> list[Path]:
    """Return the files of the package that a module belongs to, or of the module alone."""
    try:
        spec = importlib.util.find_spec(name)
        top = importlib.util.find_spec(name.partition(".")[0])
    except Exception as error:  # parents are imported on the way
        raise _not_imported(name, error) from error
    if spec is None or top is None:
        raise UsageError(
            f"there is no plugin {shown(name)}: it is no file FILE.py and no module that can be found"
        )
    folders = list(top.submodule_search_locations or ())
    files = [file for folder in folders for file in sorted(Path(folder).rglob("*.py"))]
    return files or [Path(spec.origin or "")]


def _not_imported(source: str, error: BaseException) -> UsageError:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return UsageError(f"plugin {shown(source)} can't be imported ({words}); mend it")


def _sha256(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()

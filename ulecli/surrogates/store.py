"""The store of surrogates: where they lie, and whether they are what their cards say.

A surrogate NAME is a card `NAME.json`, the weights `NAME.safetensors`, and the gradient graph of its
net, `NAME.0.onnx`. The card holds the sha256 of both others. It is a guard against damage and mix-ups, not a
signature: who can change a file can change the card as well.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from ulecli.errors import ModelError
from ulecli.system.atomic import replacing

ENVIRONMENT = "ULECLI_MODELS"
"""The environment variable that names another folder of surrogates."""

_PACKAGE = Path(__file__).resolve().parent.parent
_KINDS: dict[str, type] = {"Mapping": dict, "tuple": list, "str": str}
"""What JSON must hold for a field of `Card`, by the outermost word of the field's type."""


@dataclass(frozen=True)
class CardFile:
    """What a file was when its card was written.

    Attributes:
        sha256: Of the content, 64 hexadecimal digits.
        bytes: Length of the content.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Card:
    """All that is known about a surrogate.

    Attributes:
        name: The name that users type; the stem of its files.
        purpose: What it is for, in one sentence.
        net: The name of the architecture and its arguments.
        data: What it was trained on.
        protocol: How it was trained: every parameter of the training and of the noise inside it.
        command: The command line that made it.
        seeds: All the randomness that went in.
        versions: Version of every package that had a say, by name.
        files: What each file of the surrogate was when the card was written, by file name.
        effect: Measured results, each with its conditions.
        limits: What it is known not to do.
    """

    name: str
    purpose: str
    net: Mapping[str, Any]
    data: str
    protocol: Mapping[str, Any]
    command: str
    seeds: tuple[int, ...]
    versions: Mapping[str, str]
    files: Mapping[str, CardFile]
    effect: tuple[Mapping[str, Any], ...]
    limits: tuple[str, ...]


def directory() -> Path:
    """Return the folder: what ULECLI_MODELS names, else the one inside the package, else the checkout's.

    The package is asked before its parent, because the parent of an installed package is `site-packages`,
    where a folder called `models` is somebody else's.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    installed = _PACKAGE / "models"
    return installed if installed.is_dir() else _PACKAGE.parent / "models"


def names() -> list[str]:
    """Return the names of all surrogates, sorted."""
    return sorted(path.stem for path in directory().glob("*.json"))


def load_card(name: str) -> Card:
    """Read the card of a surrogate.

    Raises:
        ModelError: There is no such surrogate, or its card is damaged.
    """
    known = names()
    if name not in known:
        raise ModelError(_unknown(name, known))
    path = directory() / f"{name}.json"
    try:
        card = _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"the card {path} can't be read ({error}); {_remedy()}") from error
    if card.name != name:
        raise ModelError(f"the card {path} is that of '{card.name}'; {_remedy()}")
    return card


def verified_bytes(name: str, suffix: str) -> bytes:
    """Read a file of a surrogate once and return it only if it is what the card says.

    Callers get the content and not the path, so that what was checked is what is used.

    Args:
        name: Of the surrogate.
        suffix: Of the file: ".safetensors", or ".0.onnx" for the graph of the first net.

    Raises:
        ModelError: The surrogate is unknown, or its file is missing or was changed.
    """
    card = load_card(name)
    path = directory() / f"{name}{suffix}"
    expected = card.files.get(path.name)
    if expected is None:
        raise ModelError(f"the surrogate '{name}' has no file {path.name} by its card; {_remedy()}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); {_remedy()}") from error
    found = sha256_of(content)
    if found != expected.sha256:
        raise ModelError(
            f"the surrogate '{name}' was changed since its card was written: the sha256 of {path.name} "
            f"should be {expected.sha256[:12]}… but is {found[:12]}…; {_remedy()}"
        )
    return content


def write_card(card: Card, folder: Path) -> Path:
    """Write `NAME.json` into a folder, replacing it as a whole, and return its path."""
    path = folder / f"{card.name}.json"
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def card_file(content: bytes) -> CardFile:
    """Return what a card says about a file of this content."""
    return CardFile(sha256_of(content), len(content))


def sha256_of(content: bytes) -> str:
    """Return the sha256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _parse(entries: object) -> Card:
    """Check the shape of a card and freeze it; raises ValueError or TypeError where it is not one."""
    if not isinstance(entries, dict):
        raise ValueError("not a JSON object")
    for field in fields(Card):
        kind = _KINDS[cast(str, field.type).partition("[")[0]]
        if not isinstance(entries.get(field.name), kind):
            raise ValueError(f"the field '{field.name}' is missing or not of type {kind.__name__}")
    files = {name: CardFile(**entry) for name, entry in entries["files"].items()}
    frozen: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entries.items()
    }
    return Card(**(frozen | {"files": files}))


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return f"there is no surrogate in {directory()}; {_remedy()}"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"there is no surrogate '{name}'; known are: {', '.join(known)}{hint}"


def _remedy() -> str:
    """Say what to do: whoever named a folder of their own did not get it from the package."""
    if os.environ.get(ENVIRONMENT):
        return f"correct or unset {ENVIRONMENT}, or train the surrogate again"
    return "reinstall ulecli, or train the surrogate again"

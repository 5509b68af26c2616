"""Backbones by name or by file: what users write, and the net that it means."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ulecli.errors import ModelError, NoSuchPath, UsageError, shown, unknown
from ulecli.nets.backbones.backbone import Backbone, BackboneOptions, Bundled, check
from ulecli.nets.backbones.judges import JUDGES
from ulecli.nets.backbones.makers import MAKERS

_POINTER = b"version https://git-lfs"
"""How a file begins that only stands for a large one."""


@dataclass(frozen=True)
class BackboneRequest:
    """One backbone as it was asked for.

    Attributes:
        label: What tables call it: its name, or that of its file.
        name: A key of `MAKERS` or `JUDGES`; "" for a file.
        file: Its file; None for one with a name.
        arch: The torchvision architecture of the weights in a file; "" if that was not said.
        options: What was asked beside.
    """

    label: str
    name: str = ""
    file: Path | None = None
    arch: str = ""
    options: BackboneOptions = field(default_factory=BackboneOptions)

    @property
    def is_maker(self) -> bool:
        """Whether perturbations may be made with it, so that it is no independent judge."""
        return self.name in MAKERS


def bundled() -> dict[str, Bundled]:
    """Return the backbones with a name: judges first."""
    return {**JUDGES, **MAKERS}


def requests(texts: Sequence[str], options: BackboneOptions) -> tuple[BackboneRequest, ...]:
    """Read what users write for backbones: NAME, FILE or ARCH=FILE.

    Raises:
        NoSuchPath: There is no such file.
        UsageError: There is no such name.
    """
    read = [_request(text, options) for text in dict.fromkeys(texts)]
    labels = [one.label for one in read]
    return tuple(
        BackboneRequest(text, one.name, one.file, one.arch, options) if labels.count(one.label) > 1 else one
        for text, one in zip(dict.fromkeys(texts), read, strict=True)
    )


def _request(text: str, options: BackboneOptions) -> BackboneRequest:
    if text in bundled():
        return BackboneRequest(text, name=text, options=options)
    arch, path = "", Path(text)
    if not path.exists() and "=" in text:
        arch, _, rest = text.partition("=")
        path = Path(rest)
    if path.is_file():
        return BackboneRequest(shown(path.name), file=path, arch=arch, options=options)
    if path.exists():
        raise UsageError(f"the backbone {shown(text)} is a folder; name a file of a net")
    if arch or path.suffix or len(path.parts) > 1:
        raise NoSuchPath(
            f"there is no backbone {shown(str(path))}; name a file, or one of {', '.join(bundled())}"
        )
    raise unknown("backbone and no file", text, bundled())


def open_backbone(request: BackboneRequest) -> Backbone:
    """Open a backbone and try it on two grey pictures.

    Raises:
        MissingExtra: A package is not installed.
        ModelError: The file holds no net that can be used, or has no such layer.
        UsageError: It is made for another size than the one that is asked for.
    """
    if request.file is None:
        return _opened(request, 0, 0)
    try:
        now = request.file.stat()
    except OSError as error:
        raise ModelError(f"{request.label} can't be read: {error.strerror or error}") from error
    return _opened(request, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=4)
def _opened(request: BackboneRequest, changed: int, size: int) -> Backbone:
    """Open a backbone as it was when it was changed last; several trainings use one."""
    if request.file is None:
        return check(bundled()[request.name].open(request.options))
    return check(_of_file(request.file, request))


def _of_file(path: Path, request: BackboneRequest) -> Backbone:
    """Open a file by what it holds, whatever it is called."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ModelError(f"{request.label} can't be read: {error.strerror or error}") from error
    if not head or head.startswith(_POINTER):
        raise ModelError(
            f"{request.label} holds no net{' but a pointer to one' if head else ''}: get it again"
        )
    if _is_torchscript(path):
        from ulecli.nets.backbones.torchscript import open_torchscript

        return open_torchscript(path, request.label, request.options)
    if head[:2] in (b"PK", b"\x80\x02") or head[8:9] == b"{":
        from ulecli.nets.backbones.state_dict import open_state_dict

        return open_state_dict(path, request.label, request.arch, request.options)
    if head[:1] in (b"[", b"{"):
        from ulecli.nets.backbones.face_descriptor import open_face_descriptor

        return open_face_descriptor(path, request.label, request.options)
    from ulecli.nets.backbones.onnx_file import open_onnx

    return open_onnx(path, request.label, request.options)


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is an archive that holds code beside weights."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(Path(name).name == "constants.pkl" for name in archive.namelist())

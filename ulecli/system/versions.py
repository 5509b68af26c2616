"""Versions of what has a say in a result."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from ulecli import __version__


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of ulecli, of Python and of packages, by name.

    Args:
        packages: As package indexes call them. Those that are not installed, or whose version a distribution
            has left out, are left out too.
    """
    found = {"ulecli": __version__, "python": platform.python_version()}
    for package in packages:
        with suppress(ImportError):
            found[package] = _torch() if package == "torch" else version(package)
    return found


def _torch() -> str:
    import torch  # whose own version, unlike that of the package, says for which GPU it was built

    return str(torch.__version__)

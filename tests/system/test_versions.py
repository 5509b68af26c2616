from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from ulecli import __version__
from ulecli.system.versions import versions


def test_packages_have_their_versions_in_order_and_what_is_not_installed_has_none() -> None:
    found = versions(("torch", "numpy", "no-such-package"))
    assert found == {
        "ulecli": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
    }
    assert list(found) == ["ulecli", "python", "torch", "numpy"] and type(found["torch"]) is str

"""`ulecli --help` and `--version` answer at once, because nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ulecli

HEAVY = {"PIL", "numpy", "onnx", "onnxruntime", "safetensors", "torch", "torchvision"}


def loaded(*arguments: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after running so."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *{name.partition('.')[0] for name in sys.modules}))\n"
        "import runpy\n"
        f"sys.argv = ['ulecli', *{arguments!r}]\n"
        + ("runpy.run_module('ulecli', run_name='__main__')" if arguments else "import ulecli")
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",), ("protect", "--help")])
def test_nothing_heavy_is_loaded(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & HEAVY


def test_version_is_one_line_on_stdout() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ulecli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ulecli {ulecli.__version__}\n"
    assert done.stderr == ""

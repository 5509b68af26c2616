"""`ulecli --help` and `--version` answer at once, because nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

import ulecli

HEAVY = {"PIL", "numpy", "onnx", "onnxruntime", "safetensors", "torch", "torchvision"}
LIMIT = 0.3
"""Seconds, above what the bare interpreter takes to start."""


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


def best_of(count: int, *command: str) -> float:
    """Return the shortest wall-clock time of `python COMMAND`, in seconds."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",), ("protect", "--help")])
def test_nothing_heavy_is_loaded(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & HEAVY


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_answers_at_once(option: str) -> None:
    bare = best_of(5, "-c", "pass")
    whole = best_of(5, "-m", "ulecli", option)
    print(f"python -m ulecli {option}: {whole:.3f} s, of which the bare interpreter {bare:.3f} s")
    assert whole - bare <= LIMIT


def test_version_is_one_line_on_stdout() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ulecli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ulecli {ulecli.__version__}\n"
    assert done.stderr == ""

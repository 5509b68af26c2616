from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("resource")


def fuzz(*arguments: object) -> None:
    """Run the fuzzer in a process of its own: a crash of a decoder would end it with a signal."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/fuzz/fuzz_decode.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "; 0 faults" in done.stdout and "'encoded'" in done.stdout and "'refused'" in done.stdout


def test_damaged_photos_are_refused_in_words():
    fuzz("--count", 200)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thousands_of_damaged_photos_are_refused_in_words(shared, seed):
    fuzz(shared / "nasty", shared / "photos", "--count", 4000, "--seed", seed)

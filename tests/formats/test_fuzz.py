from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("resource")


def fuzz(*arguments: object) -> str:
    """Return what the fuzzer reports in a process of its own: a decoder's crash would end it by a signal."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/formats/fuzz_decode.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_damaged_photos_are_refused_in_words():
    reported = fuzz("--count", 200)
    assert "; 0 faults" in reported and "'encoded'" in reported and "'refused'" in reported


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thousands_of_damaged_photos_are_refused_in_words(shared, seed):
    reported = fuzz(shared / "nasty", shared / "photos", "--count", 4000, "--seed", seed)
    assert "; 0 faults" in reported and "'encoded'" in reported and "'refused'" in reported

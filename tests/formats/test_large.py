"""A panorama of 100 megapixels, from file to file, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT, scene
from PIL import Image

pytest.importorskip("resource")

SIZE = (20_000, 5_000)
LIMIT = 1024

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from formats.fuzz_decode import peak_megabytes
from ulecli.formats.options import Reading
from ulecli.protection.outcome import Photo
from ulecli.protection.photo import Job, make
source, target, format = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
delta = np.random.default_rng(0).integers(-8, 9, (1, 64, 64)).astype(np.int8)
job = Job(Photo(source, source, format), target, 8, 64, Reading(), read_back=True)
found = make(job, lambda sample: delta).measured
assert found.max_change <= 8 < found.psnr_db_on_disk, found
print(round(peak_megabytes()))
"""

KINDS = {
    "JPEG": ("RGB", {"quality": 85}),
    "JPEG on its side": (
        "RGB",
        {"quality": 85, "exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"},
    ),
    "JPEG, progressive": ("RGB", {"quality": 85, "progressive": True}),
    "PNG": ("RGBA", {"compress_level": 1}),
    "TIFF": ("RGB", {}),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "JPEG on its side" else pytest.mark.slow) for name in KINDS],
)
def test_a_panorama_stays_below_a_gigabyte(tmp_path, name):
    mode, settings = KINDS[name]
    format = name.split(",")[0].split()[0]
    tile = scene(500, 500).convert(mode)
    panorama = Image.new(mode, SIZE)
    for left in range(0, SIZE[0], 500):
        for top in range(0, SIZE[1], 500):
            panorama.paste(tile, (left, top))
    panorama.save(tmp_path / "in", format, **settings)
    del panorama
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "in", tmp_path / "out", format],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < LIMIT, f"{done.stdout} MiB"
    (tmp_path / "in").unlink()
    (tmp_path / "out").unlink()

"""SSIMULACRA2 and FLIP, against the packages' own results for the same pictures as PNG files."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.errors import ExitCode, MissingExtra
from ulecli.formats.picture import read
from ulecli.imaging.figure import shrunk
from ulecli.imaging.visibility import SCREEN_SIDE, flip, ssimulacra2, to_be_measured, visibility


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def noisy(picture: np.ndarray, strength: int) -> np.ndarray:
    change = np.random.default_rng(strength).integers(-strength, strength + 1, picture.shape)
    return (picture.astype(int) + change).clip(0, 255).astype(np.uint8)


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as stored:
        return np.asarray(stored.convert("RGB"))


@pytest.mark.parametrize("size", [(8, 8), (97, 64), (333, 250)])
@pytest.mark.parametrize("strength", [2, 40])
def test_as_the_packages_measure_two_files(tmp_path, size, strength):
    before = pixels(scene(*size))
    after = noisy(before, strength)
    names = [str(tmp_path / name) for name in ("before.png", "after.png")]
    for name, picture in zip(names, (before, after), strict=True):
        Image.fromarray(picture).save(name)
    from flip_evaluator import evaluate
    from ssimulacra2 import compute_ssimulacra2

    assert ssimulacra2(before, after) == pytest.approx(compute_ssimulacra2(*names), abs=1e-9)
    errors, mean, _ = evaluate(*names, "LDR", applyMagma=False, parameters={"ppd": 67.0})
    assert flip(before, after) == pytest.approx(mean, abs=1e-6) == pytest.approx(errors.mean(), abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 300), (7, 7), (8, 9), (101, 57)])
def test_the_same_is_100_and_0_and_more_change_is_more_visible(size):
    before = pixels(scene(*size))
    same, changed, worse = (visibility(before, after) for after in (before, noisy(before, 9), 255 - before))
    assert (same.ssimulacra2, same.flip) == (100.0, 0.0)
    assert 100 > changed.ssimulacra2 > worse.ssimulacra2 and 0 < changed.flip < worse.flip <= 1


def test_a_pattern_on_a_wall_is_seen_before_one_in_leaves():
    """What PSNR does not know: the same change, on a flat picture and on a busy one."""
    stripes = (np.indices((256, 256)).sum(0) // 6 % 2 * 8 - 4)[..., None]
    wall = np.full((256, 256, 3), 128, np.uint8)
    leaves = noisy(wall, 60)
    seen = [visibility(picture, (picture + stripes).astype(np.uint8)) for picture in (wall, leaves)]
    assert seen[0].ssimulacra2 < seen[1].ssimulacra2 - 20


@pytest.mark.parametrize("measure", [ssimulacra2, flip])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *(((8, 9, 3), np.uint8), ((9, 8, 3), np.uint8), ((8, 8), np.uint8), ((8, 8, 4), np.uint8)),
        *(((8, 8, 3), np.float32), ((0, 8, 3), np.uint8)),
    ],
)
def test_what_is_no_pair_of_pictures(measure, shape, dtype):
    one, other = np.zeros((8, 8, 3), np.uint8), np.zeros(shape, dtype)
    for pair in ((one, other), (other, one)):
        with pytest.raises(ValueError, match=r"two sizes|no RGB picture"):
            measure(*pair)


def test_of_camera_photos_stored_as_jpeg(shared):
    """Cloudinary's scale: 90 is not seen, 70 is of high quality, 50 of medium quality."""
    scores = []
    for path in sorted((shared / "photos").glob("*.jpg"))[1:8:3]:
        before = pixels(shrunk(read(path), SCREEN_SIDE))
        scores.append([ssimulacra2(before, as_jpeg(before, quality)) for quality in (90, 50)])
    fine, medium = np.mean(scores, axis=0)
    assert 80 < fine < 90 and 55 < medium < 70


WITHOUT = """
import sys
for name in ("ssimulacra2", "flip_evaluator"):
    sys.modules[name] = None  # as if it were not installed
import numpy as np
from ulecli.errors import MissingExtra
from ulecli.imaging.visibility import flip, ssimulacra2
for measure in (ssimulacra2, flip):
    try:
        measure(*np.zeros((2, 8, 8, 3), np.uint8))
    except MissingExtra as error:
        print(error)
"""


def test_without_the_packages_the_extra_is_named():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all("pip install '.[measure]'" in line for line in lines)


def test_measured_as_asked_or_where_the_packages_are(monkeypatch):
    assert to_be_measured(None) and to_be_measured(True) and not to_be_measured(False)
    monkeypatch.setattr("ulecli.imaging.visibility.find_spec", lambda name: None)
    assert not to_be_measured(None) and not to_be_measured(False)
    with pytest.raises(MissingExtra, match=r"\.\[measure\]") as raised:
        to_be_measured(True)
    assert raised.value.exit_code == ExitCode.MISSING_EXTRA

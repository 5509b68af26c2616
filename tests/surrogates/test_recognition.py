from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import scene
from PIL import Image

from ulecli.imaging.delta import add_delta, working_image
from ulecli.imaging.variants import variants
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import CueReader
from ulecli.system.devices import Device

SAMPLES = Path(__file__).parents[2] / "samples"


@cache
def reader() -> CueReader:
    return CueReader("photo")


@cache
def perturber():
    return open_perturber("photo", device=Device.CPU, threads=1)


def protected(image: Image.Image, code: int) -> Image.Image:
    image = image.copy()
    aspect = np.array([image.width / image.height], np.float32)
    small = working_image(image, perturber().grid)[None]
    add_delta(image, perturber()(small, np.array([code]), aspect, epsilon=8)[0])
    return image


def photo() -> Image.Image:
    with Image.open(SAMPLES / "forest.jpg") as stored:
        return stored.convert("RGB")


def test_the_loss_is_that_of_the_trained_net():
    torch = pytest.importorskip("torch")
    from ulecli.surrogates.weights import load_net

    small = photo().convert("L").resize((reader().side,) * 2, Image.Resampling.BILINEAR, reducing_gap=2.0)
    images = torch.from_numpy(np.asarray(small, np.float32) / 255)[None, None]
    with torch.no_grad():
        logits = [load_net("photo", family)(images) for family in range(reader().families)]
    expected = torch.cat([-torch.log_softmax(one, dim=1)[0] for one in logits]).numpy()
    assert reader().losses([photo()])[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("code", [3, 38, 69])
def test_the_code_that_was_written_reads_in_every_variant(code):
    cue = reader().cue(protected(photo(), code), code)
    assert set(cue.readings) == {
        "file",
        "q85",
        *(str(side) for side in (1080, 512, 224) if side < max(photo().size)),
    }
    for name, reading in cue.readings.items():
        assert reading.reads and reading.rank == 0 and reading.code == code and reading.margin > 0, name


def test_another_code_does_not_read():
    cue = reader().cue(protected(photo(), 38), 33)
    assert not any(reading.reads for reading in cue.readings.values())
    assert {reading.code for reading in cue.readings.values()} == {38}
    assert all(reading.rank > 0 and reading.margin < 0 for reading in cue.readings.values())


def test_without_a_code_the_surest_net_is_asked():
    losses = reader().losses([photo()])[0].reshape(reader().families, -1)
    ordered = np.sort(losses, axis=1)
    family = int((ordered[:, 1] - ordered[:, 0]).argmax())
    cue = reader().cue(photo())
    assert cue.code == family * 10 + losses[family].argmin() and not cue.known
    assert cue.readings["file"].reads


def test_variants_never_enlarge():
    sizes = {name: picture.size for name, picture in variants(scene(600, 300))}
    assert sizes == {"file": (600, 300), "q85": (600, 300), "512": (512, 256), "224": (224, 112)}
    assert dict(variants(scene(3000, 2)))["224"].size == (224, 1)

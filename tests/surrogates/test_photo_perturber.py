"""Whether `protect` and `verify` agree on which codes are recognised, with the surrogate that ships."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from ulecli.imaging import texture
from ulecli.imaging.delta import add_delta, working_image
from ulecli.surrogates.opening import open_perturber
from ulecli.surrogates.recognition import CueReader

NAMES = ("dunes.jpg", "forest.jpg", "mountains.jpg")


def shrunk(name: str) -> Image.Image:
    with Image.open(ROOT / "samples" / name) as image:
        picture = image.convert("RGB")
    picture.thumbnail((400, 400))
    return picture


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_what_is_recognised_before_it_is_stored_is_afterwards(backend):
    if backend == "torch":
        pytest.importorskip("torch")
    perturber, reader = open_perturber("photo", backend=backend), CueReader()
    found = []
    for name in NAMES:
        picture = shrunk(name)
        image, aspect = working_image(picture, perturber.grid)[None], picture.width / picture.height
        for code in (3, 45):
            codes = np.array([code])
            full = perturber(image, codes, np.array([aspect], np.float32), epsilon=8)[0]
            masked = texture.masked(full, texture.texture_weights(picture))
            for delta in (full, masked, full // 8, np.zeros_like(full)):
                changed = picture.copy()
                add_delta(changed, delta)
                cue = reader.cue(changed, code).readings["file"]
                recognised = bool(perturber.recognised(image, codes, delta[None])[0])
                found.append((recognised, cue.reads, abs(cue.margin)))
    assert {recognised for recognised, _, _ in found} == {True, False}
    wrong = [margin for recognised, reads, margin in found if recognised is not reads]
    assert len(wrong) <= 1 and all(margin < 1 for margin in wrong)


def test_several_photos_are_asked_about_at_once():
    perturber = open_perturber("photo")
    images = np.stack([working_image(shrunk(name), perturber.grid) for name in NAMES])
    codes, aspects = np.array([0, 17, 69]), np.ones(3, np.float32)
    deltas = perturber(images, codes, aspects, epsilon=8)
    together = perturber.recognised(images, codes, deltas)
    alone = [perturber.recognised(images[i, None], codes[i, None], deltas[i, None])[0] for i in range(3)]
    assert together.dtype == bool and together.tolist() == alone and together.any()
    assert not perturber.recognised(images, (codes + 3) % 10 + codes // 10 * 10, deltas).all()

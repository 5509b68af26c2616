"""A photo as a platform stores it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ulecli.imaging.upload import Upload


def test_a_photo_above_the_limit_of_the_library_is_what_the_library_stores_and_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = Image.effect_noise((80, 60), 50).convert("RGB")
    stored = BytesIO()
    photo.save(stored, "JPEG", quality=85, subsampling="4:2:0")
    right = np.asarray(Image.open(stored))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert np.array_equal(np.asarray(Upload(quality=85)(photo)), right)

"""Variants of a picture as platforms pass it on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ulecli.imaging.variants import QUALITY, VARIANTS, Sight, variants, views


def test_only_what_does_not_enlarge_is_yielded() -> None:
    picture = Image.new("RGB", (600, 300), (90, 120, 60))
    assert [(name, shown.size) for name, shown in variants(picture)] == [
        ("file", (600, 300)),
        (f"q{QUALITY}", (600, 300)),
        ("512", (512, 256)),
        ("224", (224, 112)),
    ]


def test_a_picture_above_the_limit_of_the_library_is_stored_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library refuses to open pictures of 179 megapixels and more; protect takes up to 300."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    picture = Image.new("RGB", (1200, 80), (90, 120, 60))
    names, seen = views(picture, Sight(1, 8))
    assert names == VARIANTS
    assert np.ptp(seen) < 2 / 255


def test_a_picture_longer_than_jpeg_can_be_is_only_shown_shrunk() -> None:
    picture = Image.new("RGB", (66000, 4), (90, 120, 60))
    assert [name for name, _ in variants(picture)] == ["file", "1080", "512", "224"]

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from PIL import Image

from ulecli.formats import picture as codec
from ulecli.imaging.delta import add_delta
from ulecli.imaging.difference import difference


def test_a_protected_jpeg_is_not_much_larger_than_its_source(shared, tmp_path):
    delta = np.random.default_rng(0).choice(np.array([-8, 0, 8], np.int8), (1, 64, 64))
    ratios = {}
    for path in sorted((shared / "photos").glob("*.jpg")):
        picture = codec.decode(path, "JPEG")
        add_delta(picture.image, delta)
        codec.encode(picture, picture.image, tmp_path / path.name)
        ratios[path.name] = (tmp_path / path.name).stat().st_size / path.stat().st_size
        with Image.open(path) as source, Image.open(tmp_path / path.name) as stored:
            for table, steps in source.quantization.items():
                if table in stored.quantization:
                    assert all(
                        mine <= theirs for mine, theirs in zip(stored.quantization[table], steps, strict=True)
                    )
    print({name: round(ratio, 2) for name, ratio in ratios.items()})
    assert median(ratios.values()) <= 1.5 and max(ratios.values()) <= 2


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "HEIC"])
def test_lossy_formats_are_stored_as_finely_as_jpeg(shared, tmp_path, format):
    name = format
    if format == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
        name = "HEIF"
    with Image.open(shared / "photos/Nexus 4.jpg") as photo:
        photo.resize((612, 816), Image.Resampling.LANCZOS).save(tmp_path / "in", name, quality=95)
    picture = codec.decode(tmp_path / "in", format)
    codec.encode(picture, picture.image, tmp_path / "out")
    picture.image.save(tmp_path / "jpeg", "JPEG", quality=85)
    kept, floor = (
        difference(picture.image, codec.read_rgb(tmp_path / one, kind))
        for one, kind in (("out", format), ("jpeg", "JPEG"))
    )
    assert kept.psnr_db > floor.psnr_db

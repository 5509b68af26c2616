from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import scene
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from ulecli.errors import PhotoSkipped
from ulecli.formats.audit import mark_in
from ulecli.formats.options import MetadataMode, Reading
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import AMPLITUDES
from ulecli.protection import photo
from ulecli.protection.outcome import Photo

DELTA = np.random.default_rng(0).integers(-8, 9, (1, 16, 16)).astype(np.int8)


def made(path, format, mode=MetadataMode.PRIVATE, *, read_back=False):
    """Protect one file and return what came of it, and the written file."""
    part = path.with_name("part")
    part.unlink(missing_ok=True)
    job = photo.Job(Photo(path, path, format), part, 8, 16, Reading(metadata=mode), read_back)
    return photo.make(job, lambda of: DELTA), part


def job_of(path: Path, **settings) -> photo.Job:
    return photo.Job(Photo(path, path, "PNG"), path.with_name("part"), 8, 16, Reading(), False, **settings)


def test_a_sample_is_what_the_perturbation_is_made_from(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6  # lies on its side
    scene(60, 30).save(tmp_path / "in", "PNG", exif=tags)
    seen = []

    def perturb(sample: photo.Sample) -> np.ndarray:
        seen.append(sample)
        return DELTA

    shown = photo.sample(job_of(tmp_path / "in"))
    assert not (tmp_path / "part").exists()
    photo.make(job_of(tmp_path / "in"), perturb)
    (made,) = seen
    assert shown.aspect == made.aspect == 0.5
    for one, other in ((shown.image, made.image), (shown.amplitudes, made.amplitudes)):
        assert np.array_equal(one, other) and one.dtype == np.float32
    with Image.open(tmp_path / "in") as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB").resize((16, 16), Image.Resampling.BOX)
    assert np.abs(shown.image - np.asarray(upright).transpose(2, 0, 1) / 255).max() < 0.06


@pytest.mark.parametrize("epsilon", [1, 8])
def test_a_sample_may_move_as_far_as_strength_and_bound_allow(tmp_path, epsilon):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    flat = np.full((64, 64, 1), 128, np.uint8)
    Image.fromarray(np.repeat(np.hstack([noise, flat]), 3, axis=2)).save(tmp_path / "in", "PNG")
    smooth, texture = {}, {}
    for strength in Strength:
        job = replace(job_of(tmp_path / "in", strength=strength), epsilon=epsilon)
        found = photo.sample(job).amplitudes[0]
        assert found.min() > 0 and found.max() <= epsilon
        smooth[strength], texture[strength] = float(found[:, 12:].mean()), float(found[:, :4].mean())
        assert found.max() == min(AMPLITUDES[strength], epsilon)
    assert list(smooth.values()) == sorted(smooth.values())
    assert all(smooth[it] < texture[it] or smooth[it] == epsilon for it in Strength)


def test_what_is_marked_as_protected_is_not_shown(tmp_path):
    scene().save(tmp_path / "in", "PNG")
    _, part = made(tmp_path / "in", "PNG")
    part.rename(tmp_path / "done")
    with pytest.raises(PhotoSkipped, match="twice"):
        photo.sample(job_of(tmp_path / "done"))


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_is_read_back_with_the_same_result(tmp_path, monkeypatch, format):
    scene(300, 200).save(tmp_path / "in", format)
    measured = made(tmp_path / "in", format, read_back=True)[0].measured
    monkeypatch.setattr(photo, "_LARGE", 100)
    assert made(tmp_path / "in", format, read_back=True)[0].measured == measured
    assert measured.max_change_on_disk == 8 or format == "JPEG"
    assert {path.name for path in tmp_path.iterdir()} == {"in", "part"}


@pytest.mark.parametrize("mode", list(MetadataMode))
def test_comments_and_iptc_of_a_jpeg_go_on_only_on_demand(tmp_path, mode):
    iptc = b"\x1c\x02\x50\x00\x03Ada"
    piece = b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc
    segment = b"Photoshop 3.0\0" + piece
    stored = io.BytesIO()
    scene().save(stored, "JPEG", comment=b"by Ada")
    content = stored.getvalue()
    head = b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment
    (tmp_path / "in").write_bytes(content[:2] + head + content[2:])
    _, part = made(tmp_path / "in", "JPEG", mode)
    with Image.open(part) as written:
        assert (written.info.get("comment") == b"by Ada") is (mode is MetadataMode.KEEP)
        assert (written.info.get("photoshop") == {0x0404: iptc}) is (mode is MetadataMode.KEEP)


@pytest.mark.parametrize("mode", list(MetadataMode))
def test_texts_of_a_png_go_on_only_on_demand(tmp_path, mode):
    texts = PngInfo()
    texts.add_text("Author", "Ada")
    scene().save(tmp_path / "in", "PNG", pnginfo=texts)
    _, part = made(tmp_path / "in", "PNG", mode)
    with Image.open(part) as written:
        written.load()
        assert ("Author" in written.text) is (mode is MetadataMode.KEEP)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
@pytest.mark.parametrize("mode", list(MetadataMode))
def test_damaged_exif_is_left_out_and_said_once(tmp_path, mode):
    scene().save(tmp_path / "in", "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0")
    done, part = made(tmp_path / "in", "JPEG", mode)
    assert sum("EXIF" in remark for remark in done.remarks) == (mode is not MetadataMode.STRIP)
    with Image.open(part) as written:
        assert "exif" not in written.info


@pytest.mark.parametrize("mode", list(MetadataMode))
def test_an_index_of_other_rules_in_a_tiff_is_not_followed_into_the_void(tmp_path, mode):
    tags = Image.Exif()
    tags[0x0110] = "A Camera"
    tags[34665] = {33434: 0.01, 40965: 12_345}
    scene().save(tmp_path / "in", "TIFF", exif=tags.tobytes())
    _, part = made(tmp_path / "in", "TIFF", mode)
    with Image.open(part) as written:
        kept = written.getexif().get_ifd(34665)
        assert 40965 not in kept
        assert (33434 in kept) is (mode is not MetadataMode.STRIP)
    assert mark_in(part)

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import scene
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ulecli.formats.audit import mark_in
from ulecli.formats.options import MetadataMode, Reading
from ulecli.protection import photo
from ulecli.protection.outcome import Photo

DELTA = np.random.default_rng(0).integers(-8, 9, (1, 16, 16)).astype(np.int8)


def made(path, format, mode=MetadataMode.PRIVATE, *, read_back=False):
    """Protect one file and return what came of it, and the written file."""
    part = path.with_name("part")
    part.unlink(missing_ok=True)
    job = photo.Job(Photo(path, path, format), part, 8, 16, Reading(metadata=mode), read_back)
    return photo.make(job, lambda image, aspect: DELTA), part


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

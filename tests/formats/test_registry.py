from __future__ import annotations

import sys

import numpy as np
import pytest
from conftest import scene
from formats.table import MARKED, ROWS, decoded, exif_block, rewritten, stored
from PIL import Image

from ulecli.formats import foreign, registry
from ulecli.formats.audit import is_lossless, leaks
from ulecli.formats.picture import read_rgb
from ulecli.formats.registry import FORMATS, HEAD, PICTURE_SUFFIXES, SUFFIXES, missing, sniff


def test_every_format_has_a_row():
    assert list(FORMATS) == list(ROWS)
    assert all(name == format.name for name, format in FORMATS.items())
    assert all(format.holds_mark is ROWS[name].mark for name, format in FORMATS.items())


@pytest.mark.parametrize("name", ROWS)
def test_a_format_is_recognised_by_its_first_bytes_alone(name):
    content = stored(name)
    assert sniff(content[:HEAD]) == sniff(content) == name
    assert [one for one, format in FORMATS.items() if format.accepts(content[:HEAD])] == [name]


@pytest.mark.parametrize("name", ROWS)
def test_a_picture_goes_round_and_tells_nothing(tmp_path, name):
    picture = decoded(tmp_path, stored(name), name)
    rewritten(tmp_path, picture)
    again = read_rgb(tmp_path / "out", name)
    apart = abs(np.asarray(again).astype(int) - np.asarray(scene()))
    assert bool(apart.max() == 0) is ROWS[name].lossless and apart.mean() < 6
    assert is_lossless(tmp_path / "out", name) is ROWS[name].lossless
    assert leaks(tmp_path / "in") == leaks(tmp_path / "out") == []


@pytest.mark.parametrize("name", ROWS)
def test_no_beginning_of_a_file_is_clean(tmp_path, name):
    content = stored(name)
    for length in {0, 1, 8, 20, 50, len(content) // 3}:
        (tmp_path / "x").write_bytes(content[:length])
        assert any("can't be followed at byte" in leak for leak in leaks(tmp_path / "x")), length


@pytest.mark.parametrize(
    "name", [name for name, row in ROWS.items() if row.ends and name not in ("AVIF", "HEIC")]
)
def test_what_follows_the_end_is_a_leak(tmp_path, name):
    (tmp_path / "x").write_bytes(stored(name) + b"by Ada")
    assert leaks(tmp_path / "x") == ["6 bytes behind the picture"]


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_what_follows_the_last_box_is_a_leak(tmp_path, name):
    (tmp_path / "x").write_bytes(stored(name) + b"by Ada")
    assert "can't be followed" in leaks(tmp_path / "x")[0]


@pytest.mark.parametrize(("head", "name"), foreign.HEADS)
def test_foreign_formats_are_named(head, name):
    assert sniff(head + bytes(40)) == name not in FORMATS


def test_raws_that_begin_as_supported_files_are_named():
    assert sniff(b"II*\0\x10\0\0\0CR\2\0") == "camera raw (CR2)"
    assert sniff(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom") == "camera raw (CR3)"
    assert sniff(b"II*\0\x08\0\0\0\1\0\0\0") == "TIFF"
    assert sniff(b"") == sniff(b"BM" + b"just a text that begins so") == sniff(bytes(64)) == ""


def test_endings():
    assert {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} < PICTURE_SUFFIXES
    assert len({suffix for suffixes in SUFFIXES.values() for suffix in suffixes}) == sum(
        map(len, SUFFIXES.values())
    )
    for name in ("JPEG", "PNG", "TIFF", "BMP", "AVIF", "HEIC"):
        assert name in registry.SUPPORTED


def test_only_heic_can_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert [name for name in FORMATS if missing(name)] == ["HEIC"]
    assert missing("GIF") == ""


@pytest.mark.parametrize("name", MARKED)
def test_the_encoder_finds_nothing_of_the_source_in_the_picture(tmp_path, name):
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + exif_block())
    settings = {"exif": tags.tobytes(), "dpi": (300, 300)}
    if name == "TIFF":
        settings["tiffinfo"] = {270: "by Ada", 33723: b"IPTC", 34377: b"8BIM", 700: b"<x:xmpmeta by='Ada'/>"}
    else:
        settings["xmp"] = b"<x:xmpmeta by='Ada'/>"
    picture = decoded(tmp_path, stored(name, **settings), name)
    assert leaks(tmp_path / "in") and picture.exif
    assert b"Ada" not in rewritten(tmp_path, picture)
    assert leaks(tmp_path / "out") == []

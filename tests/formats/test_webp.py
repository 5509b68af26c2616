from __future__ import annotations

import struct

import numpy as np
import pytest
from conftest import scene
from formats.table import decoded, exif_block, rewritten, stored

from ulecli.errors import PhotoError
from ulecli.formats import webp
from ulecli.formats.audit import leaks, mark_in
from ulecli.formats.format import Unfollowable
from ulecli.formats.metadata.xmp import Mark, packet


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of such chunks, each filled up to an even length."""
    body = b"".join(
        kind + struct.pack("<L", len(content)) + content + bytes(len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<L", 4 + len(body)) + b"WEBP" + body


def pieces(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(kind, content[body:end]) for kind, body, end in webp.chunks(content)]


def extended(*added: tuple[bytes, bytes], first: bool = False) -> bytes:
    """Return a lossless WebP with more chunks, behind the pixels or before them."""
    width, height = scene().size
    head = bytes([0b1100, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    pixels = pieces(stored("WEBP"))
    return riff((b"VP8X", head), *(added if first else ()), *pixels, *(() if first else added))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("filled", [0, 1])
def test_metadata_are_found_wherever_they_are_and_whatever_their_length(tmp_path, first, filled):
    block = exif_block()
    block += bytes(len(block) % 2 ^ filled)
    xmp = packet(Mark("1", 8))
    added = [
        (b"EXIF", block),
        (b"XMP ", xmp + b"\0" * (len(xmp) % 2 ^ filled)),
        (b"MINE", b"x" * (5 + filled)),
    ]
    picture = decoded(tmp_path, extended(*added, first=first), "WEBP")
    assert leaks(tmp_path / "in") == ["EXIF Artist", "EXIF GPS", "chunk 'MINE'"]
    assert mark_in(tmp_path / "in") == Mark("1", 8)
    assert np.array_equal(np.asarray(picture.image), np.asarray(scene())) and b"Ada" in picture.exif
    assert picture.info["not_carried"] == ("chunk 'MINE'",)
    rewritten(tmp_path, picture)
    assert leaks(tmp_path / "out") == []


def test_exif_with_the_prefix_of_a_jpeg_is_exif(tmp_path):
    (tmp_path / "x").write_bytes(extended((b"EXIF", b"Exif\0\0" + exif_block())))
    assert leaks(tmp_path / "x") == ["EXIF Artist", "EXIF GPS"]


def test_what_fills_a_chunk_up_is_nothing(tmp_path):
    content = bytearray(extended((b"XMP ", packet(Mark("1", 8)).ljust(501)), (b"EXIF", b"")))
    content[-9] = 65
    (tmp_path / "x").write_bytes(content)
    assert "bytes between its chunks" in leaks(tmp_path / "x")


@pytest.mark.parametrize("longer", [1, 2, 1000, 2**31])
def test_sizes_beyond_the_end_are_never_clean(tmp_path, longer):
    content = extended((b"EXIF", exif_block()))
    place = content.index(b"EXIF") + 4
    size = int.from_bytes(content[place : place + 4], "little") + longer + 1
    (tmp_path / "x").write_bytes(content[:place] + struct.pack("<L", size) + content[place + 4 :])
    assert leaks(tmp_path / "x") == [f"structure that can't be followed at byte {place - 4}"]
    whole = 8 + int.from_bytes(content[4:8], "little")
    (tmp_path / "x").write_bytes(content[:4] + struct.pack("<L", whole - 8 + longer) + content[8:])
    assert "can't be followed" in leaks(tmp_path / "x")[0]
    with pytest.raises(Unfollowable):
        list(webp.chunks(content[:-1]))


def test_a_file_that_is_cut_short_is_damaged(tmp_path):
    content = stored("WEBP")
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(PhotoError):
            decoded(tmp_path, content[: int(share * len(content))], "WEBP")


@pytest.mark.parametrize("lossless", [False, True])
def test_lossless_is_known_by_the_chunk_of_the_pixels(lossless):
    settings = {"lossless": lossless, "exact": True}
    plain = stored("WEBP", **settings)
    several = stored("WEBP", save_all=True, append_images=[scene(seed=2)], **settings)
    named = extended((b"EXIF", b"VP8L" * 9), first=True)
    assert webp.WEBP.lossless(plain) is lossless
    assert webp.WEBP.lossless(several) is lossless
    assert webp.WEBP.lossless(named)
    assert not webp.WEBP.lossless(riff((b"ICCP", b"VP8L" * 9), *pieces(stored("WEBP", lossless=False))))


def test_a_second_picture_and_what_hides_in_a_frame_are_never_clean(tmp_path):
    pixels = pieces(stored("WEBP"))
    (tmp_path / "twice").write_bytes(riff(*pixels, *pixels))
    assert leaks(tmp_path / "twice") == ["further picture"]
    inner = riff(*pixels, (b"NAME", b"Ada Example"))[12:]
    (tmp_path / "frame").write_bytes(riff((b"VP8X", bytes(10)), (b"ANMF", bytes(16) + inner)))
    assert leaks(tmp_path / "frame") == ["chunk 'NAME'"]
    (tmp_path / "long").write_bytes(riff((b"VP8X", bytes(10) + b"Ada Example!"), *pixels))
    assert leaks(tmp_path / "long") == ["chunk 'VP8X'"]

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import scene
from isolated_entries import BAD_MEASURES
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ulecli.errors import NoSuchPath, NothingToDo, UsageError
from ulecli.formats import picture as codec
from ulecli.formats.metadata import policy as metadata
from ulecli.formats.options import MetadataMode
from ulecli.imaging.figure import perturbation, side_by_side
from ulecli.protection.pairs import Pair, pair_up
from ulecli.verification.measure import measure
from ulecli.verification.pair_check import Checked, Demands, check_all, drawn
from ulecli.verification.pair_check import check as check_with


def check(pair: Pair, demands: Demands) -> Checked:
    """Check in this process; that others find the same is tested with `check_all`."""
    return check_with(pair, demands, None, measure)


def moved(image: Image.Image, levels: int) -> Image.Image:
    signs = np.random.default_rng(1).choice([-levels, levels], (image.height, image.width, 1))
    return Image.fromarray((np.asarray(image).astype(int) + signs).clip(0, 255).astype(np.uint8))


def stored(path, image, format="PNG", epsilon=8, mode="private", info=None, **more):
    kept = metadata.carried(info or {}, mode, format=format, size=image.size, epsilon=epsilon)
    settings = {"PNG": {"pnginfo": PngInfo()}, "TIFF": {"tiffinfo": {}}}.get(format, {}) | more
    codec.encode(codec.Picture(image, format, metadata.merged(settings, kept), ()), image, path)
    return path


def pair(tmp_path, protected, format="PNG", **more) -> Pair:
    scene().save(tmp_path / "original.png")
    return Pair(tmp_path / "original.png", stored(tmp_path / "protected", protected, format, **more))


def test_a_lossless_file_within_the_bound(tmp_path):
    found = check(pair(tmp_path, moved(scene(), 8)), Demands())
    assert found.problems == () and found.lossless and found.marked
    assert (found.max_change, found.epsilon, found.format) == (8, 8, "PNG")
    gap = np.asarray(moved(scene(), 8)).astype(float) - np.asarray(scene())
    assert found.psnr_db == pytest.approx(10 * math.log10(255**2 / (gap**2).mean()))
    assert 0.5 < found.ssim < 1 and found.leaks == () and found.cue is None


@pytest.mark.parametrize(
    ("levels", "epsilon", "asked", "fails"),
    [(8, 8, None, False), (9, 8, None, True), (6, 4, None, True), (6, 4, 6, False), (6, 8, 4, True)],
)
def test_the_bound_is_the_marks_or_the_askers(tmp_path, levels, epsilon, asked, fails):
    found = check(pair(tmp_path, moved(scene(), levels), epsilon=epsilon), Demands(asked))
    assert bool(found.problems) is fails and found.max_change == levels
    if fails:
        assert f"moves a channel by {levels} levels" in found.problems[0]


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "BMP"])
def test_other_lossless_formats(tmp_path, format):
    more = {"WEBP": {"lossless": True}}.get(format, {})
    found = check(pair(tmp_path, moved(scene(), 9), format, **more), Demands())
    assert found.lossless and "9 levels" in found.problems[0]


def test_a_lossy_file_may_move_further(tmp_path):
    found = check(pair(tmp_path, moved(scene(), 8), "JPEG", quality=95), Demands())
    assert found.problems == () and not found.lossless and found.max_change > 8


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (scene(), "not changed at all"),
        (scene(64, 96), "is 64 x 96, its original 96 x 64"),
        (scene().transpose(Image.Transpose.ROTATE_180), "another picture"),
    ],
)
def test_what_is_wrong(tmp_path, made, words):
    assert any(words in problem for problem in check(pair(tmp_path, made), Demands()).problems)


def test_what_can_not_be_compared(tmp_path):
    good = pair(tmp_path, moved(scene(), 8))
    (tmp_path / "cut").write_bytes(good.protected.read_bytes()[:2000])
    (tmp_path / "text").write_text("no photo")
    for path, words in (
        (None, "no protected copy"),
        (tmp_path / "cut", "damaged"),
        (tmp_path / "text", "no photo"),
        (tmp_path / "gone", "can't be read"),
    ):
        assert words in check(Pair(good.original, path), Demands()).problems[0]


def test_leaks_fail_by_the_mode(tmp_path):
    tags = Image.Exif()
    tags[0x013B] = "Ada"
    whole = pair(tmp_path, moved(scene(), 8), "JPEG", mode="keep", info={"exif": tags.tobytes()}, quality=95)
    found = check(whole, Demands())
    assert found.leaks == ("EXIF Artist",) and "EXIF Artist" in found.problems[0]
    assert check(whole, Demands(metadata=MetadataMode.KEEP)).problems == ()
    with whole.protected.open("ab") as file:
        file.write(b"\xff\xd8\xff more")
    assert "behind the picture" in check(whole, Demands(metadata=MetadataMode.KEEP)).problems[0]


def test_orientation_is_seen_through(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    scene().save(tmp_path / "original.png", exif=tags)
    turned = scene().transpose(Image.Transpose.ROTATE_270)
    found = check(Pair(tmp_path / "original.png", stored(tmp_path / "p", moved(turned, 8))), Demands())
    assert found.problems == () and (found.width, found.height) == turned.size


def test_all_keep_their_order(tmp_path):
    good = pair(tmp_path, moved(scene(), 8))
    pairs = [Pair(good.original, good.protected if number % 3 else None) for number in range(9)]
    assert [bool(found.problems) for found in check_all(pairs, Demands(), None, jobs=3)] == [
        True,
        False,
        False,
    ] * 3


def test_in_processes_of_their_own_the_same_is_found(tmp_path):
    whole = pair(tmp_path, moved(scene(), 8), "JPEG", quality=95)
    cut = Pair(whole.original, tmp_path / "cut.jpg")
    cut.protected.write_bytes(whole.protected.read_bytes()[:900])
    pairs = [whole, cut, Pair(whole.original, tmp_path / "gone")]
    assert list(check_all(pairs, Demands(), None)) == [check(one, Demands()) for one in pairs]


def test_a_decoder_that_dies_hangs_or_lies_fails_its_pair_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("ulecli.verification.pair_check.ENTRY", "isolated_entries:evil_pairs")
    scene().save(tmp_path / "original.png")
    names = ["good", "die", "hang", *BAD_MEASURES, "better"]
    pairs = [
        Pair(tmp_path / "original.png", stored(tmp_path / f"{name}.png", moved(scene(), 8))) for name in names
    ]
    found = dict(zip(names, check_all(pairs, Demands(), None, jobs=2, timeout=8), strict=True))
    assert found["good"].problems == found["better"].problems == ()
    assert "died of it" in found["die"].problems[0] and "longer than 8 s" in found["hang"].problems[0]
    for name in BAD_MEASURES:
        assert "sent what it must not" in found[name].problems[0], name


def test_pictures_for_a_figure_are_those_of_the_files(tmp_path):
    good = check(pair(tmp_path, moved(scene(), 8)), Demands())
    gone = check(Pair(good.pair.original, tmp_path / "gone"), Demands())
    ((original, protected, epsilon),) = drawn([good, gone], 48)
    assert original.size == protected.size == (48, 32) and epsilon == 8
    assert np.abs(np.asarray(original).astype(int) - np.asarray(scene(48, 32))).mean() < 8


def test_pairs_of_trees(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one / "a", other / "a"):
        folder.mkdir(parents=True)
    for name in ("x.png", "a/x.png", "a/wrong.jpg", "alone.png"):
        scene().save(one / name, "PNG")
    for name in ("x.png", "a/x.png", "a/wrong.png"):
        scene().save(other / name, "PNG")
    found = {str(it.original.relative_to(one)): it.protected for it in pair_up(one, other)}
    assert found == {
        "x.png": other / "x.png",
        "a/x.png": other / "a/x.png",
        "a/wrong.jpg": other / "a/wrong.png",
        "alone.png": None,
    }
    assert pair_up(one / "x.png", other / "x.png") == [Pair(one / "x.png", other / "x.png")]


def test_a_photo_and_a_folder_are_no_pair(tmp_path):
    (tmp_path / "folder").mkdir()
    scene().save(tmp_path / "x.png")
    with pytest.raises(UsageError):
        pair_up(tmp_path / "x.png", tmp_path / "folder")
    with pytest.raises(NoSuchPath):
        pair_up(tmp_path / "x.png", tmp_path / "gone")
    with pytest.raises(NothingToDo):
        pair_up(tmp_path / "folder", tmp_path / "folder")


def test_the_perturbation_is_scaled_as_in_the_paper():
    one = Image.new("RGB", (4, 2), (100, 100, 100))
    for change, level in ((8, 255), (-8, 0), (0, 128), (4, 191), (20, 255)):
        other = Image.new("RGB", (4, 2), (100 + change,) * 3)
        assert abs(perturbation(one, other, 8).getpixel((1, 1))[0] - level) <= 1


def test_the_figure(tmp_path):
    wide, tall = scene(1000, 500), scene(100, 200)
    page = side_by_side([(wide, moved(wide, 8), 8), (tall, moved(tall, 8), 8)])
    assert page.size == (3 * 480 + 16, 240 + 8 + 200)
    pixels = np.asarray(page)
    assert np.array_equal(pixels[248:, 190:290], np.asarray(tall))
    assert np.array_equal(pixels[248:, 2 * 488 + 190 : 2 * 488 + 290], np.asarray(moved(tall, 8)))

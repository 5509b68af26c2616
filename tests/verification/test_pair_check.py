from __future__ import annotations

import io
import math

import numpy as np
import pytest
from conftest import scene
from isolated_entries import BAD_MEASURES, BAD_VISIBILITIES
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from ulecli.errors import NoSuchPath, NothingToDo, UsageError
from ulecli.formats import picture as codec
from ulecli.formats.colour import display_p3
from ulecli.formats.metadata import policy as metadata
from ulecli.formats.options import MetadataMode
from ulecli.imaging.figure import perturbation, shrunk, side_by_side
from ulecli.imaging.visibility import visibility
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


def test_no_visibility_that_can_not_be_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr("ulecli.verification.pair_check.ENTRY", "isolated_entries:evil_pairs")
    scene().save(tmp_path / "original.png")
    names = ["good", *BAD_VISIBILITIES]
    pairs = [
        Pair(tmp_path / "original.png", stored(tmp_path / f"{name}.png", moved(scene(), 8))) for name in names
    ]
    good, *bad = check_all(pairs, Demands(), None, visibility=True, jobs=2)
    assert good.problems == () and good.ssimulacra2 is not None
    for name, found in zip(BAD_VISIBILITIES, bad, strict=True):
        assert "sent what it must not" in found.problems[0], name


def visible(tmp_path, before: Image.Image, after: Image.Image, **settings: object) -> Checked:
    """Store two pictures as PNG and have a worker measure them."""
    for name, picture in (("before.png", before), ("after.png", after)):
        picture.save(tmp_path / name, **settings)
    (found,) = check_all(
        [Pair(tmp_path / "before.png", tmp_path / "after.png")], Demands(), None, visibility=True
    )
    return found


def measured(before: Image.Image, after: Image.Image) -> tuple[float, float]:
    """Return what the packages say of two pictures that are no larger than a screen."""
    seen = visibility(*(np.asarray(picture.convert("RGB")) for picture in (before, after)))
    return pytest.approx(seen.ssimulacra2, abs=1e-9), pytest.approx(seen.flip, abs=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (97, 64), (1080, 31)])
def test_the_eye_on_photos_that_fit_the_screen(tmp_path, size):
    before, after = scene(*size), moved(scene(*size), 8)
    found = visible(tmp_path, before, after)
    assert (found.ssimulacra2, found.flip) == measured(before, after) and found.ssimulacra2 < 100


def test_the_eye_sees_a_large_photo_shrunk_to_the_screen(tmp_path):
    before, after = scene(2161, 301), moved(scene(2161, 301), 8)
    found = visible(tmp_path, before, after)
    assert (found.ssimulacra2, found.flip) == measured(shrunk(before, 1080), shrunk(after, 1080))
    assert shrunk(before, 1080).size == (1080, 150)


def test_the_eye_sees_the_colours_that_a_profile_means(tmp_path):
    before, after = scene(), moved(scene(), 8)
    found = visible(tmp_path, before, after, icc_profile=display_p3())
    srgb = [
        ImageCms.profileToProfile(
            it,
            io.BytesIO(display_p3()),
            ImageCms.createProfile("sRGB"),
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        for it in (before, after)
    ]
    for one, other in zip((found.ssimulacra2, found.flip), measured(*srgb), strict=True):
        assert one == other
    assert (found.ssimulacra2, found.flip) != measured(before, after)


def test_the_eye_sees_no_change_where_a_photo_is_transparent(tmp_path):
    alpha = Image.new("L", (96, 64))
    alpha.paste(255, (0, 0, 48, 64))
    before, after = scene(), moved(scene(), 8)
    half = before.copy()
    half.paste(after.crop((0, 0, 48, 64)))
    for picture in (before, after):
        picture.putalpha(alpha)
    found = visible(tmp_path, before, after)
    white = Image.new("RGB", (96, 64), "white")
    on_white = [Image.composite(picture, white, alpha) for picture in (scene(), half)]
    assert (found.ssimulacra2, found.flip) == measured(*on_white)
    assert found.max_change == 8  # of the file, transparent or not


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_the_eye_on_gray_and_on_16_bits(tmp_path, mode):
    before, after = (np.asarray(picture.convert("L")) for picture in (scene(), moved(scene(), 8)))
    levels = [before, after] if mode == "L" else [level.astype(np.uint16) * 257 for level in (before, after)]
    found = visible(tmp_path, *map(Image.fromarray, levels))
    assert (found.ssimulacra2, found.flip) == measured(Image.fromarray(before), Image.fromarray(after))


def test_pictures_of_two_sizes_have_no_visibility_and_nobody_asked_is_none(tmp_path):
    found = visible(tmp_path, scene(), scene(64, 96))
    assert found.problems and found.ssimulacra2 is found.flip is None
    (found,) = check_all([pair(tmp_path, moved(scene(), 8))], Demands(), None)
    assert not found.problems and found.ssimulacra2 is found.flip is None


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

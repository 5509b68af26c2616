from __future__ import annotations

import hashlib
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FullSwing, scene
from PIL import Image

from ulecli.errors import ExitCode, NothingToDo
from ulecli.formats.audit import mark_in
from ulecli.formats.options import MetadataMode, Reading
from ulecli.formats.registry import missing
from ulecli.imaging.strength import Strength
from ulecli.imaging.texture import AMPLITUDES, FLOOR
from ulecli.protection.config import ProtectConfig
from ulecli.protection.identity import name_of
from ulecli.protection.outcome import ProtectReport, Status
from ulecli.protection.run import protect

pytestmark = pytest.mark.usefixtures("config_home")


def fingerprint(root: Path) -> dict[str, str]:
    """Hashes of all files but the ledger."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".ulecli.sqlite"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tree_is_protected_and_left_alone(photo_folder, tmp_path, jobs, channels):
    before = fingerprint(photo_folder)
    output = tmp_path / "out"
    config = ProtectConfig((photo_folder,), output, epsilon=6, jobs=jobs, verify=True)
    reported = []
    report = protect(
        config, FullSwing(channels, 6), on_outcome=lambda outcome, total: reported.append((outcome, total))
    )
    assert fingerprint(photo_folder) == before
    assert set(fingerprint(output)) == {"one.jpg", "a/IMG_1.png", "b/deep/IMG_1.png", "a/Zürich 東京.webp"}
    assert report.exit_code is ExitCode.OK and report.count(Status.WRITTEN) == 4
    assert {outcome for outcome, _ in reported} == set(report.outcomes) and {
        total for _, total in reported
    } == {4}
    assert [outcome.source for outcome in report.outcomes] == sorted(
        outcome.source for outcome in report.outcomes
    )
    for outcome in report.outcomes:
        change = pixels(outcome.target) - pixels(outcome.source)
        assert change.min() < 0 < change.max()
        assert outcome.max_change == 6
        assert outcome.max_change_on_disk == abs(change).max()
        assert outcome.psnr_db_on_disk == pytest.approx(10 * np.log10(255**2 / (change**2).mean()))
        if outcome.format != "JPEG":
            assert abs(change).max() == 6
            # Where black or white is reached a channel moves less than the perturbation would move it.
            assert outcome.psnr_db_on_disk - 0.5 < outcome.psnr_db <= outcome.psnr_db_on_disk + 1e-4
        assert outcome.target.stat().st_mtime_ns == outcome.source.stat().st_mtime_ns


def test_one_photo_in_32_is_read_back(tmp_path, perturber):
    (tmp_path / "in").mkdir()
    for number in range(33):
        scene(16, 16, number).save(tmp_path / "in" / f"{number:02}.jpg")
    for verify, expected in ((False, {0, 32}), (True, set(range(33)))):
        config = ProtectConfig((tmp_path / "in",), tmp_path / f"{verify}", verify=verify)
        report = protect(config, perturber)
        read = {number for number, one in enumerate(report.outcomes) if one.max_change_on_disk is not None}
        assert read == expected
        assert all(
            (one.psnr_db_on_disk is None) is (one.max_change_on_disk is None) for one in report.outcomes
        )
        assert all(0 < one.max_change <= 8 and one.psnr_db > 30 for one in report.outcomes)
    assert fingerprint(tmp_path / "True") == fingerprint(tmp_path / "False")


def test_what_is_written_does_not_depend_on_batches(photo_folder, tmp_path):
    class OnGpu(FullSwing):
        device = "cuda (a test)"

        def __call__(self, *batch):
            call = super().__call__
            return np.concatenate([call(*(it[n : n + 1] for it in batch)) for n in range(len(batch[0]))])

    protect(ProtectConfig((photo_folder,), tmp_path / "gpu", jobs=4), OnGpu())
    protect(ProtectConfig((photo_folder,), tmp_path / "cpu"), FullSwing())
    assert fingerprint(tmp_path / "gpu") == fingerprint(tmp_path / "cpu")
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_a_second_run_gives_the_same_bytes(photo_folder, tmp_path, perturber):
    for name in ("x", "y"):
        protect(ProtectConfig((photo_folder,), tmp_path / name, jobs=2), perturber)
    assert fingerprint(tmp_path / "x") == fingerprint(tmp_path / "y")


def test_one_bad_photo_does_not_stop_the_others(photo_folder, tmp_path, perturber):
    content = (photo_folder / "one.jpg").read_bytes()
    (photo_folder / "a" / "cut.jpg").write_bytes(content[: len(content) // 2])
    (photo_folder / "a" / "empty.png").write_bytes(b"")
    (photo_folder / "a" / "text.jpg").write_text("hello")
    report = protect(ProtectConfig((photo_folder,), tmp_path / "out", jobs=2), perturber)
    assert report.exit_code is ExitCode.SOME_FAILED
    assert report.count(Status.WRITTEN) == 4
    failed = {one.source.name: one.reason for one in report.outcomes if one.status is Status.FAILED}
    assert set(failed) == {"cut.jpg", "empty.png", "text.jpg"}
    assert all(failed.values())
    assert len(fingerprint(tmp_path / "out")) == 4


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("two\nlines"), OSError(28, "No space left")])
def test_whatever_goes_wrong_with_a_photo_is_told_in_a_line(photo_folder, tmp_path, error):
    class Failing(FullSwing):
        def __call__(self, images, directions, amplitudes, aspects):
            raise error

    report = protect(ProtectConfig((photo_folder,), tmp_path / "out", jobs=2), Failing())
    assert report.count(Status.FAILED) == 4
    assert all(one.reason and "\n" not in one.reason and one.target is None for one in report.outcomes)
    assert fingerprint(tmp_path / "out") == {}


def test_what_goes_wrong_with_a_direction_is_told_in_a_line(photo_folder, tmp_path):
    class Failing(FullSwing):
        def direction(self, images, amplitudes, seed):
            raise RuntimeError("two\nlines")

    report = protect(ProtectConfig((photo_folder,), tmp_path / "out", jobs=2), Failing())
    assert report.count(Status.FAILED) == 4 and {one.direction for one in report.outcomes} == {""}
    assert all("two lines" in one.reason for one in report.outcomes)
    assert fingerprint(tmp_path / "out") == {}


def test_a_perturbation_beyond_the_bound_is_refused(photo_folder, tmp_path):
    report = protect(ProtectConfig((photo_folder,), tmp_path / "out", epsilon=8), FullSwing(level=9))
    assert report.count(Status.FAILED) == 4
    assert "9 levels" in report.outcomes[0].reason
    assert fingerprint(tmp_path / "out") == {}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
def test_what_is_smooth_is_spared_and_nothing_else(tmp_path, name, channels):
    class Textured(FullSwing):
        def __call__(self, images, directions, amplitudes, aspects):
            signs = np.sign(super().__call__(images, directions, amplitudes, aspects))
            return np.rint(signs * amplitudes).astype(np.int8)

    picture = np.full((256, 256, 3), 128, np.uint8)
    picture[128:] = np.random.default_rng(0).integers(40, 216, (128, 256, 1))
    Image.fromarray(picture).save(tmp_path / name, quality=95)
    change = {}
    smooth, texture = slice(0, 120), slice(140, 256)
    for strength in Strength:
        farthest = np.rint(AMPLITUDES[strength])
        for perturber in (Textured(channels), FullSwing(channels)):
            output = tmp_path / f"{strength}-{type(perturber).__name__}"
            (outcome,) = protect(
                ProtectConfig((tmp_path / name,), output, strength=strength), perturber
            ).outcomes
            change[type(perturber)] = abs(pixels(outcome.target) - pixels(tmp_path / name))
            assert outcome.max_change == farthest
        spared, even = change[Textured], change[FullSwing]
        assert spared[smooth].mean() < 0.6 * even[smooth].mean()
        assert spared[texture].mean() > 0.9 * even[texture].mean()
        if name == "photo.png":
            assert spared[smooth].max() == np.rint(FLOOR * AMPLITUDES[strength])
            assert spared[texture].max() == even[smooth].max() == farthest


def test_the_bound_holds_whatever_the_strength(photo_folder, tmp_path, perturber):
    for epsilon in (1, 2, 3):
        config = ProtectConfig(
            (photo_folder,), tmp_path / f"{epsilon}", epsilon=epsilon, strength=Strength.STRONG
        )
        assert {one.max_change for one in protect(config, perturber).outcomes} == {epsilon}


def test_a_dry_run_writes_nothing(photo_folder, tmp_path, perturber, config_home):
    before = fingerprint(tmp_path)
    report = protect(ProtectConfig((photo_folder,), tmp_path / "out", dry_run=True), perturber)
    assert report.count(Status.PLANNED) == 4 and perturber.seen == []
    assert {one.target for one in report.outcomes} >= {tmp_path / "out" / "one.jpg"}
    assert fingerprint(tmp_path) == before
    assert list(config_home.iterdir()) == []
    assert any("no key" in note for note in report.notes)


def test_an_interrupt_leaves_no_half_file(photo_folder, tmp_path, perturber):
    def interrupt(outcome, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        protect(ProtectConfig((photo_folder,), tmp_path / "out"), perturber, on_outcome=interrupt)
    assert not [name for name in fingerprint(tmp_path / "out") if name.endswith(".part")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photo")]


def test_should_stop_leaves_the_rest_to_the_next_run(photo_folder, tmp_path, perturber):
    report = protect(
        ProtectConfig((photo_folder,), tmp_path / "out"), perturber, should_stop=lambda: bool(perturber.seen)
    )
    # What stood in line already is done, the rest is not begun.
    assert 1 <= report.count(Status.WRITTEN) <= 3 and report.count(Status.WRITTEN) + report.left == 4
    rest = protect(ProtectConfig((photo_folder,), tmp_path / "out"), perturber)
    assert rest.count(Status.UNCHANGED) == report.count(Status.WRITTEN) and rest.left == 0
    assert rest.count(Status.WRITTEN) == report.left


def directions_of(report: ProtectReport) -> dict[str, set[str]]:
    """The names of the directions of each identity."""
    found: dict[str, set[str]] = {name: set() for name in report.identities}
    for one in report.outcomes:
        found[one.identity].add(one.direction)
    return found


def test_an_identity_keeps_its_direction_and_folders_have_their_own(photo_folder, tmp_path):
    runs = {}
    for run in (1, 2):
        perturber = FullSwing()
        config = ProtectConfig(
            (photo_folder,), tmp_path / f"{run}", identity="ada", key_file=tmp_path / "key"
        )
        report = protect(config, perturber)
        runs[run] = {direction for direction, _ in perturber.seen}
        assert directions_of(report) == {"ada": {name_of(np.frombuffer(perturber.seen[0][0], "<f4"))}}
        assert any("key" in note for note in report.notes) is (run == 1)
    assert runs[1] == runs[2] and len(runs[1]) == 1
    by_folder = directions_of(protect(replace(config, identity_from_folder=True), FullSwing()))
    assert set(by_folder) == {"photos", "a", "deep"}
    assert len(set.union(*by_folder.values())) == 3
    other = directions_of(protect(replace(config, key_file=tmp_path / "other"), FullSwing()))
    assert len(other["ada"]) == 1 and other["ada"].isdisjoint(directions_of(report)["ada"])


def test_identities_of_a_run_share_no_direction(tmp_path):
    for number in range(40):
        (tmp_path / "in" / f"{number}").mkdir(parents=True)
        scene(8, 8, number).save(tmp_path / "in" / f"{number}" / "x.png")
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out", identity_from_folder=True)
    report = protect(config, FullSwing(level=8))
    found = directions_of(report)
    assert len(found) == 40 and all(len(names) == 1 for names in found.values())
    assert len(set.union(*found.values())) == 40


def test_colours_under_alpha_zero_do_not_change(tmp_path):
    image = scene()
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, 40:] = 0
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "x.png")
    protect(ProtectConfig((tmp_path / "x.png",)), FullSwing(level=8))
    with Image.open(tmp_path / "x-protected.png") as stored:
        change = np.asarray(stored).astype(int) - np.asarray(image)
    assert (change[:, 40:] == 0).all() and (change[..., 3] == 0).all()
    assert change[:, :40].min() == -8 and change[:, :40].max() == 8


def test_a_photo_that_is_too_smooth_to_change_is_not_counted_as_protected(tmp_path):
    class Rounding(FullSwing):
        def __call__(self, images, directions, amplitudes, aspects):
            return np.rint(amplitudes).astype(np.int8)

    Image.new("RGB", (64, 48), (90, 120, 200)).save(tmp_path / "sky.png")
    for strength, status in ((Strength.SUBTLE, Status.SKIPPED), (Strength.DEFAULT, Status.WRITTEN)):
        config = ProtectConfig((tmp_path / "sky.png",), tmp_path / "out", strength=strength)
        (outcome,) = protect(config, Rounding()).outcomes
        assert outcome.status is status
        assert ("smooth" in outcome.reason and "--strength" in outcome.reason) is (status is Status.SKIPPED)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_can_not_change_is_not_counted_as_protected(tmp_path, perturber, jobs):
    (tmp_path / "in").mkdir()
    image = scene()
    image.putalpha(0)
    image.save(tmp_path / "in" / "clear.png")
    scene().save(tmp_path / "in" / "x.png")
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out", jobs=jobs)
    for expected in (Status.WRITTEN, Status.UNCHANGED):
        clear, other = protect(config, perturber).outcomes
        assert clear.status is Status.SKIPPED and "no pixel" in clear.reason and other.status is expected
    assert set(fingerprint(tmp_path / "out")) == {"x.png"}


def test_what_is_not_recognised_is_recorded(photo_folder, tmp_path):
    class Weak(FullSwing):
        def recognised(self, images, directions, deltas):
            assert deltas.shape == (1, 1, self.grid, self.grid)
            return np.array([images.mean() < 0]) if self.seen[-1] else np.ones(1, bool)

    config = ProtectConfig((photo_folder,), tmp_path / "out")
    for status in (Status.WRITTEN, Status.UNCHANGED):
        report = protect(config, Weak())
        assert [(one.status, one.recognised) for one in report.outcomes] == [(status, False)] * 4


def test_a_run_says_first_what_it_will_do(photo_folder, tmp_path, perturber):
    starts = []
    config = ProtectConfig((photo_folder,), tmp_path / "out")
    for _ in range(2):
        protect(config, perturber, on_start=starts.append, on_outcome=lambda *it: starts.append("photo"))
    first, second = (one for one in starts if one != "photo")
    assert starts[0] is first and (first.photos, first.roots, first.again) == (4, (tmp_path / "out",), False)
    assert second == replace(first, again=True)


def test_aspects_are_those_of_the_upright_photo(tmp_path, perturber):
    tags = Image.Exif()
    tags[0x0112] = 6
    scene(200, 100).save(tmp_path / "x.jpg", exif=tags)
    protect(ProtectConfig((tmp_path / "x.jpg",)), perturber)
    assert perturber.seen[0][1] == 0.5


def test_nothing_to_do(tmp_path, perturber):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(NothingToDo, match="no JPEG"):
        protect(ProtectConfig((tmp_path,)), perturber)
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    with pytest.raises(NothingToDo, match="GIF"):
        protect(ProtectConfig((tmp_path,)), perturber)


WRITTEN, SKIPPED, FAILED = Status.WRITTEN, Status.SKIPPED, Status.FAILED
NASTY = {
    "exif/Landscape_6.jpg": (WRITTEN, "", (1800, 1200)),
    "exif/Landscape_5.jpg": (WRITTEN, "", (1800, 1200)),
    "exif/bad_exif_type.jpg": (WRITTEN, None, (800, 531)),
    "jpeg/adobe_rgb.jpg": (WRITTEN, "", (2000, 1072)),
    "jpeg/cmyk_progressive_no_icc.jpg": (WRITTEN, "CMYK", (1400, 350)),
    "jpeg/gray_icc.jpg": (WRITTEN, "profile", (386, 396)),
    "jpeg/12bit.jpg": (FAILED, "damaged", None),
    "jpeg/iphone_mpo_p3.jpg": (WRITTEN, "first", None),
    "png/gray16.png": (WRITTEN, "16 bits", (512, 512)),
    "png/palette_alpha.png": (WRITTEN, "", (256, 256)),
    "png/animated_apng.png": (SKIPPED, "20 frames", None),
    "tiff/float32.tiff": (SKIPPED, "float", None),
    "webp/animated.webp": (SKIPPED, "101 frames", None),
    "heif/iphone8_p3.heic": (SKIPPED, "HEIC", None) if missing("HEIC") else (WRITTEN, "", (4032, 3024)),
    "broken/truncated.jpg": (FAILED, "truncated", None),
    "broken/bomb_65535.jpg": (FAILED, "megapixels", None),
    "broken/text.jpg": (FAILED, "no photo", None),
    "names/png_inside.jpg": (WRITTEN, "PNG", (451, 300)),
    "names/IMG_1.jpg": (WRITTEN, "", (300, 225)),
    "names/IMG_1.png": (WRITTEN, "", (451, 300)),
    "size/8x8192.jpg": (WRITTEN, "", (8, 8192)),
}


@pytest.fixture(scope="module")
def nasty_run(shared, tmp_path_factory):
    output = tmp_path_factory.mktemp("nasty")
    config = ProtectConfig((shared / "nasty",), output / "out", key_file=output / "key", jobs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's, about the odd metadata
        report = protect(config, FullSwing(level=8))
    found = {str(one.source.relative_to(shared / "nasty")): one for one in report.outcomes}
    return found, output / "out"


@pytest.mark.parametrize("name", NASTY)
def test_nasty_files(nasty_run, name):
    status, words, size = NASTY[name]
    outcome = nasty_run[0][name]
    assert outcome.status is status, outcome.reason
    if words is not None:
        assert (words in outcome.reason) if words else outcome.reason == ""
    if size:
        assert (outcome.width, outcome.height) == size
    if status is WRITTEN:
        assert outcome.max_change == 8
        if name.endswith(".heic"):
            pytest.importorskip("pillow_heif").register_heif_opener()
        with Image.open(outcome.target) as stored:
            assert stored.size == (outcome.width, outcome.height)
            assert stored.mode == ("RGBA" if name == "png/palette_alpha.png" else "RGB")
    else:
        assert outcome.target is None


def test_nasty_folder_as_a_whole(nasty_run, shared):
    found, output = nasty_run
    assert set(found) == set(NASTY)
    written = [one.target for one in found.values() if one.status is WRITTEN]
    assert len(set(written)) == len(written)
    assert {output / name for name in fingerprint(output)} == set(written)


@pytest.mark.parametrize("name", ["jpeg/adobe_rgb.jpg", "jpeg/iphone_mpo_p3.jpg"])
def test_wide_gamut_profiles_are_carried(nasty_run, shared, name):
    with Image.open(shared / "nasty" / name) as source, Image.open(nasty_run[0][name].target) as stored:
        assert stored.info["icc_profile"] == source.info["icc_profile"]


def test_colours_of_cmyk_and_tones_of_sixteen_bits(nasty_run, shared):
    for name in ("jpeg/cmyk_progressive_no_icc.jpg", "exif/bad_exif_type.jpg"):
        change = pixels(nasty_run[0][name].target) - pixels(shared / "nasty" / name)
        assert abs(change.mean()) < 2
    with Image.open(shared / "nasty/png/gray16.png") as source:
        tones = np.asarray(source).astype(float) / 257
    change = pixels(nasty_run[0]["png/gray16.png"].target)[..., 0] - tones
    assert abs(change).max() <= 8.51


@pytest.mark.parametrize("mode", list(MetadataMode))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "avif"])
def test_metadata_goes_the_way_it_is_told(tmp_path, mode, ending):
    tags = Image.Exif()
    tags[0x010F], tags[0x013B] = "A camera", "A person"
    tags.get_ifd(0x8825)[1] = "N"
    photo = tmp_path / f"x.{ending}"
    scene().save(photo, exif=tags)
    with Image.open(photo) as stored:
        had_place = bool(stored.getexif().get_ifd(0x8825))
    assert had_place or ending == "tif"  # where Pillow does not write it
    config = ProtectConfig((photo,), tmp_path / "out", reading=Reading(metadata=mode))
    (outcome,) = protect(config, FullSwing()).outcomes
    with Image.open(outcome.target) as made:
        reported = made.getexif()
        assert (reported.get(0x010F) == "A camera") is (mode is not MetadataMode.STRIP)
        assert (reported.get(0x013B) == "A person") is (mode is MetadataMode.KEEP)
        assert bool(reported.get_ifd(0x8825)) is (had_place and mode is MetadataMode.KEEP)
    mark = mark_in(outcome.target)
    assert mark and mark.epsilon == 8

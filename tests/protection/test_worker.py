from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FullSwing, scene
from isolated_entries import ANSWERS, QUESTIONS, RAW, SAMPLE
from PIL import Image

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.formats.options import Reading
from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import Photo, Status
from ulecli.protection.photo import Job, Sample, make, sample
from ulecli.protection.run import protect
from ulecli.protection.worker import ENTRY, _sample, make_in, sample_in
from ulecli.system.fingerprint import file_sha256, is_unchanged
from ulecli.system.isolated import IsolatedWorker
from ulecli.system.limits import Limits
from ulecli.system.plain_data import BadMessage


def job(path: Path, **settings) -> Job:
    photo = Photo(path, path, "PNG")
    part = path.with_name(f".ulecli-{path.name}.part")
    return Job(photo, part, epsilon=8, grid=16, reading=Reading(**settings), read_back=True)


def flat(of: Sample) -> np.ndarray:
    return np.full((1, 16, 16), 8 if of.aspect > 1 else -8, np.int8)


@pytest.fixture
def worker(tmp_path):
    with_limit = IsolatedWorker(ENTRY, limits=Limits(writable=(tmp_path,)), timeout=60)
    yield with_limit
    with_limit.close()
    assert with_limit.pid is None


def test_a_worker_does_what_the_function_does(worker, tmp_path):
    for name, size in (("wide.png", (40, 20)), ("high.png", (20, 40))):
        scene(*size).save(tmp_path / name)
        there = make_in(worker, job(tmp_path / name), flat)
        written = job(tmp_path / name).part.read_bytes()
        job(tmp_path / name).part.unlink()
        here = make(job(tmp_path / name), flat)
        assert (there, written) == (here, job(tmp_path / name).part.read_bytes())
        assert there.sha256 == file_sha256(job(tmp_path / name).part)
        assert is_unchanged(tmp_path / name, there.source)
        assert (there.measured.width, there.measured.height) == size
        assert there.measured.max_change_on_disk == 8


def test_a_worker_shows_what_the_function_shows_and_writes_nothing(worker, tmp_path):
    for name, size in (("wide.png", (40, 20)), ("high.png", (20, 40))):
        scene(*size).save(tmp_path / name)
        there, here = sample_in(worker, job(tmp_path / name)), sample(job(tmp_path / name))
        assert there.aspect == here.aspect == size[0] / size[1]
        assert np.array_equal(there.image, here.image) and there.image.shape == (3, 16, 16)
        assert np.array_equal(there.amplitudes, here.amplitudes) and there.amplitudes.shape == (1, 16, 16)
    assert {path.name for path in tmp_path.iterdir()} == {"wide.png", "high.png"}


def test_what_can_not_be_shown_is_told_by_its_kind(worker, tmp_path):
    scene(8, 8).save(tmp_path / "x.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    make_in(worker, job(tmp_path / "x.png"), flat)
    job(tmp_path / "x.png").part.rename(tmp_path / "done.png")
    for name, kind in (("bad.png", PhotoError), ("gone.png", PhotoError), ("done.png", PhotoSkipped)):
        with pytest.raises(kind):
            sample_in(worker, job(tmp_path / name))
    pid = worker.pid
    sample_in(worker, job(tmp_path / "x.png"))
    assert worker.pid == pid


def test_faults_come_back_by_their_kind_and_the_worker_goes_on(worker, tmp_path):
    scene(8, 8).save(tmp_path / "x.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    scene(8, 8).save(tmp_path / "film.png", save_all=True, append_images=[scene(8, 8, 1)])
    for name, kind, settings in (
        ("bad.png", PhotoError, {}),
        ("gone.png", PhotoError, {}),
        ("film.png", PhotoSkipped, {}),
        ("x.png", PhotoError, {"max_pixels": 63}),
    ):
        with pytest.raises(kind):
            make_in(worker, job(tmp_path / name, **settings), flat)
        assert not job(tmp_path / name).part.exists()
    pid = worker.pid
    make_in(worker, job(tmp_path / "x.png"), flat)
    make_in(worker, job(tmp_path / "film.png", first_frame=True), flat)
    assert worker.pid == pid


def test_what_goes_wrong_in_the_perturber_is_its_own_error(worker, tmp_path):
    scene(8, 8).save(tmp_path / "x.png")

    def fail(of):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_in(worker, job(tmp_path / "x.png"), fail)
    assert worker.pid is None
    make_in(worker, job(tmp_path / "x.png"), flat)


@pytest.mark.skipif(os.name != "posix", reason="groups of processes are POSIX")
def test_an_interrupt_from_the_terminal_does_not_reach_a_worker(worker, tmp_path):
    scene(8, 8).save(tmp_path / "x.png")
    make_in(worker, job(tmp_path / "x.png"), flat)
    assert os.getpgid(worker.pid) != os.getpgid(0)


def test_a_worker_that_a_file_has_taken_over_fails_that_file_alone(tmp_path, config_home, monkeypatch):
    """Whatever it sends: pickles, frames beyond any size, wrong types and fields, levels that are none."""
    monkeypatch.setattr("ulecli.protection.execution.ENTRY", "isolated_entries:evil_photos")
    count = len(RAW) + len(QUESTIONS) + len(ANSWERS)
    names = [*(f"{number:02}.png" for number in range(count)), "good.png", "better.png"]
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(names):
        scene(24, 16, seed).save(tmp_path / "in" / name)
    config = ProtectConfig((tmp_path / "in",), tmp_path / "out", jobs=2, timeout=30)
    report = protect(config, FullSwing())
    written = {one.source.name for one in report.outcomes if one.status is Status.WRITTEN}
    assert written == {"good.png", "better.png"} and report.count(Status.FAILED) == count
    for one in report.outcomes:
        assert one.status is Status.WRITTEN or "sent what it must not" in one.reason
    assert "ULECLI_TEST_PICKLE" not in os.environ
    files = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".ulecli.")}
    assert files == {"good.png", "better.png"}


@pytest.fixture
def stranger() -> Iterator[IsolatedWorker]:
    """A worker that shows what the photo's name says, or asks for its perturbation."""
    worker = IsolatedWorker("isolated_entries:evil_photos", timeout=60)
    yield worker
    worker.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_no_photo_shows_is_refused(name):
    with pytest.raises(BadMessage):
        _sample(QUESTIONS[name], replace(job(Path("x.png")), grid=32))


def test_a_small_photo_has_fewer_cells_but_not_where_a_direction_is_found():
    small = {**SAMPLE, "image": SAMPLE["image"][:, :16, :16], "amplitudes": SAMPLE["amplitudes"][:, :16, :16]}
    asked = replace(job(Path("x.png")), grid=32)
    assert _sample(small, asked).image.shape == (3, 16, 16)
    with pytest.raises(BadMessage):
        _sample(small, replace(asked, sampled=True))


def test_what_a_photo_may_show_is_taken(stranger):
    """So that the test above can fail: each of those differs from this one in one thing."""
    found = sample_in(stranger, replace(job(Path("fine.png")), grid=32))
    assert found.aspect == 1 and np.array_equal(found.image, SAMPLE["image"])


def test_whoever_shall_only_show_a_photo_may_ask_nothing_and_send_nothing_else(stranger):
    bad = Path(f"{[*RAW, *QUESTIONS].index('amplitudes beyond the bound')}.png")
    for name, words in (("asking.png", "comes out of turn"), (bad, "beyond the bound")):
        with pytest.raises(PhotoError, match=f"sent what it must not.*{words}"):
            sample_in(stranger, replace(job(Path(name)), grid=32))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
def test_every_format_needs_no_more_than_a_worker_may_do(tmp_path, format):
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    scene(96, 64).save(tmp_path / "x", format)
    limits = Limits(memory=2 << 30, writable=(tmp_path,))
    worker = IsolatedWorker(ENTRY, limits=limits, timeout=60)
    photo = Photo(tmp_path / "x", tmp_path / "x", "HEIC" if format == "HEIF" else format)
    made = make_in(worker, Job(photo, tmp_path / "part", 8, 16, Reading(), read_back=True), flat)
    worker.close()
    assert made.measured.max_change_on_disk >= 1 and made.sha256 == file_sha256(tmp_path / "part")
    assert worker.in_force or not sys.platform.startswith("linux")


def test_a_large_photo_is_set_aside_where_a_worker_may_write(tmp_path):
    Image.linear_gradient("L").resize((6200, 5000)).convert("RGB").save(tmp_path / "x.png", compress_level=1)
    worker = IsolatedWorker(ENTRY, limits=Limits(writable=(tmp_path,)), timeout=120)
    made = make_in(worker, job(tmp_path / "x.png"), flat)
    worker.close()
    assert made.measured.max_change_on_disk == 8


def test_a_folder_of_the_output_that_is_a_link_is_written_to(tmp_path, config_home):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        scene(24, 16).save(tmp_path / "in" / name)
    (tmp_path / "away").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "away")
    report = protect(ProtectConfig((tmp_path / "in",), tmp_path / "out"), FullSwing())
    assert report.count(Status.WRITTEN) == 2 and (tmp_path / "away" / "b.png").is_file()

from __future__ import annotations

import contextlib
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FullSwing, scene

from ulecli.errors import PhotoError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.directions import Directions
from ulecli.protection.identity import name_of, seed_of
from ulecli.protection.ledger import NAME, opened, reading
from ulecli.protection.ledgers import Ledgers
from ulecli.protection.outcome import Photo, ProtectReport, Status
from ulecli.protection.photo import Sample
from ulecli.protection.run import protect
from ulecli.protection.task import Task

KEY, OTHER = bytes(32), bytes(range(32))
READABLE = Sample(np.full((3, 32, 32), 0.5, np.float32), np.full((1, 32, 32), 2.0, np.float32), 1.5)


@contextlib.contextmanager
def of_outputs(
    *roots: Path, key: bytes | None = KEY, perturber: FullSwing | None = None, dry: bool = False
) -> Iterator[Directions]:
    """Directions of a run that writes to these roots."""
    with Ledgers(None, dry=dry) as ledgers:
        for root in roots:
            ledgers.of(root)
        yield Directions(perturber or FullSwing(), ledgers, key)


def tasks_in(root: Path, identity: str = "ada", count: int = 3) -> list[Task]:
    """Photos of an identity that go to a root."""
    paths = [Path("in", f"{number:03}.png") for number in range(count)]
    return [Task(Photo(path, path, "PNG"), root / path.name, root, identity=identity) for path in paths]


def show_all(tasks: Sequence[Task]) -> list[Sample]:
    return [READABLE] * len(tasks)


def show_none(tasks: Sequence[Task]) -> list[Sample]:
    return []


def find(directions: Directions, root: Path, identity: str = "ada", show=show_all) -> np.ndarray:
    tasks = tasks_in(root, identity)
    return directions.of(tasks[0], tasks, show)


def kept_in(root: Path) -> list[str]:
    with reading(root / NAME) as ledger:
        return sorted(name_of(direction) for direction in ledger.directions())


def test_a_direction_is_found_once_among_many_threads(tmp_path):
    shown: list[int] = []

    def slowly(tasks: Sequence[Task]) -> list[Sample]:
        shown.append(len(tasks))
        time.sleep(0.05)
        return show_all(tasks)

    perturber, barrier = FullSwing(), threading.Barrier(16)

    def ask(number: int) -> bytes:
        barrier.wait()
        return find(directions, tmp_path, "ada" if number % 2 else "bob", slowly).tobytes()

    with of_outputs(tmp_path, perturber=perturber) as directions, ThreadPoolExecutor(16) as threads:
        found = list(threads.map(ask, range(16)))
    assert set(found[::2]).isdisjoint(found[1::2]) and len(set(found)) == 2
    assert shown == [perturber.samples] * 2
    assert sorted(perturber.asked) == sorted((2, seed_of(name, KEY)) for name in ("ada", "bob"))


def test_one_identity_does_not_wait_for_another(tmp_path):
    came = threading.Barrier(2, timeout=30)

    def together(tasks: Sequence[Task]) -> list[Sample]:
        came.wait()  # breaks if the other is not looked for at the same time
        return show_all(tasks)

    with of_outputs(tmp_path) as directions, ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda name: find(directions, tmp_path, name, together), ("ada", "bob")))
    assert not np.array_equal(*found)


def test_a_known_direction_comes_from_the_ledger(tmp_path):
    kept = np.full(8, 8**-0.5, np.float32)
    with of_outputs(tmp_path) as directions:
        scheme = directions._scheme
    with opened(tmp_path / NAME) as ledger:
        ledger.keep_direction("ada", scheme, kept)
    perturber = FullSwing()
    with of_outputs(tmp_path, perturber=perturber) as directions:
        assert np.array_equal(directions.known("ada", tmp_path), kept)
        assert np.array_equal(find(directions, tmp_path), kept)
        assert directions.known("bob", tmp_path) is None
    assert perturber.asked == []


def test_a_direction_is_of_one_key_one_name_and_one_surrogate(tmp_path):
    other = FullSwing()
    other.sha256 = "76543210" * 8
    found = []
    for settings, name in (({}, "ada"), ({}, "bob"), ({"key": OTHER}, "ada"), ({"perturber": other}, "ada")):
        with of_outputs(tmp_path, **settings) as directions:
            assert directions.known(name, tmp_path) is None
            found.append(find(directions, tmp_path, name))
            assert np.array_equal(directions.known(name, tmp_path), found[-1])
    assert len({it.tobytes() for it in found[:3]}) == 3
    with reading(tmp_path / NAME) as ledger:
        assert len(ledger.directions()) == 4


def test_the_form_of_unicode_does_not_matter(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD"))
    assert nfc != nfd
    perturber = FullSwing()
    with of_outputs(tmp_path, perturber=perturber) as directions:
        assert np.array_equal(find(directions, tmp_path, nfd), find(directions, tmp_path, nfc))
    with of_outputs(tmp_path, perturber=perturber) as directions:
        assert np.array_equal(directions.known(nfc, tmp_path), directions.known(nfd, tmp_path))
    assert len(perturber.asked) == len(kept_in(tmp_path)) == 1


def test_photos_that_can_not_be_read_are_left_out(tmp_path):
    perturber = FullSwing()
    with of_outputs(tmp_path, perturber=perturber) as directions:
        find(directions, tmp_path, show=lambda tasks: show_all(tasks)[1:])
    assert [count for count, _ in perturber.asked] == [1] and len(kept_in(tmp_path)) == 1


def test_where_none_of_those_chosen_can_be_read_others_are_tried(tmp_path):
    tasks = tasks_in(tmp_path, count=50)
    tried: list[Task] = []

    def show(some: Sequence[Task]) -> list[Sample]:
        tried.extend(some)
        return [READABLE for task in some if task is tasks[31]]

    perturber = FullSwing()
    with of_outputs(tmp_path, perturber=perturber) as directions:
        directions.of(tasks[0], tasks, show)
    assert [count for count, _ in perturber.asked] == [1] and len(kept_in(tmp_path)) == 1
    assert tasks[31] in tried and len(set(tried)) == len(tried)  # none of them twice


def test_with_none_readable_the_start_is_taken_and_nothing_kept(tmp_path):
    perturber = FullSwing()
    with of_outputs(tmp_path, perturber=perturber) as directions:
        start = find(directions, tmp_path, show=show_none)
        assert np.array_equal(find(directions, tmp_path, show=show_none), start)
        assert directions.known("ada", tmp_path) is None
    assert perturber.asked == [(0, seed_of("ada", KEY))] and kept_in(tmp_path) == []
    with of_outputs(tmp_path) as directions:  # a run that can read them finds another
        assert not np.array_equal(find(directions, tmp_path), start)
    assert len(kept_in(tmp_path)) == 1


def give_up(tasks: Sequence[Task]) -> Iterator[Sample]:
    yield READABLE
    raise PhotoError("was given up")


def test_what_was_given_up_is_not_kept(tmp_path):
    with of_outputs(tmp_path) as directions:
        with pytest.raises(PhotoError, match="given up"):
            find(directions, tmp_path, show=give_up)
        assert kept_in(tmp_path) == [] and directions.known("ada", tmp_path) is None
        find(directions, tmp_path)  # and the next one is not held up
    assert len(kept_in(tmp_path)) == 1


def test_every_output_keeps_to_its_own_direction(tmp_path):
    x, y, z = (tmp_path / name for name in "xyz")
    own: dict[Path, np.ndarray] = {}
    for root, show in ((x, show_all), (y, lambda tasks: show_all(tasks)[:1])):
        with of_outputs(root) as directions:
            own[root] = find(directions, root, show=show)
    assert not np.array_equal(own[x], own[y])
    with of_outputs(x, y, z) as directions:
        for root in (x, y):
            assert np.array_equal(directions.known("ada", root), own[root])
            assert np.array_equal(find(directions, root), own[root])
        taken = find(directions, z)
    assert np.array_equal(taken, own[x])  # from the first that has one
    for root, direction in ((x, own[x]), (y, own[y]), (z, taken)):
        assert kept_in(root) == [name_of(direction)]


def test_what_is_found_for_one_output_is_that_of_all(tmp_path):
    roots = [tmp_path / name for name in "xy"]
    with of_outputs(*roots) as directions:
        found = [find(directions, root) for root in roots]
    assert np.array_equal(*found) and kept_in(roots[0]) == kept_in(roots[1]) == [name_of(found[0])]


def test_a_dry_run_knows_what_is_there_and_writes_nothing(tmp_path):
    with of_outputs(tmp_path / "x") as directions:
        find(directions, tmp_path / "x")
    (tmp_path / "y").mkdir()
    with opened(tmp_path / "y" / NAME):
        pass
    before = (tmp_path / "y" / NAME).read_bytes()
    with of_outputs(*(tmp_path / name for name in "xyz"), dry=True) as directions:
        known = [directions.known("ada", tmp_path / name) for name in "xyz"]
    assert {name_of(direction) for direction in known} == set(kept_in(tmp_path / "x"))
    assert (tmp_path / "y" / NAME).read_bytes() == before and not (tmp_path / "z").exists()
    with of_outputs(tmp_path / "x", key=None, dry=True) as directions:
        assert directions.known("ada", tmp_path / "x") is None


@pytest.fixture
def protected(tmp_path, config_home) -> Callable[..., ProtectReport]:
    """Protect a folder with names of photos, of which those that begin with "bad" can't be read."""

    def run(perturber: FullSwing, *names: str, **settings) -> ProtectReport:
        for seed, name in enumerate(names):
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            scene(24, 16, seed).save(path)
            if name.startswith("bad"):
                path.write_bytes(path.read_bytes()[:60])
        config = ProtectConfig((tmp_path / "in",), tmp_path / "out", jobs=2)
        return protect(replace(config, **settings), perturber)

    return run


def test_workers_show_what_can_be_read(protected, tmp_path):
    perturber = FullSwing(level=8)
    perturber.samples = 4
    report = protected(perturber, "a.png", "bad.png", "c.png", "d.png")
    assert (report.count(Status.WRITTEN), report.count(Status.FAILED)) == (3, 1)
    assert [count for count, _ in perturber.asked] == [3]
    written = {one.direction for one in report.outcomes if one.status is Status.WRITTEN}
    assert [*written] == kept_in(tmp_path / "out")


def test_where_workers_can_show_nothing_nothing_is_kept(protected, tmp_path):
    perturber = FullSwing(level=8)
    report = protected(perturber, *(f"bad{number}.png" for number in range(5)))
    assert report.count(Status.FAILED) == 5 and [count for count, _ in perturber.asked] == [0]
    assert all("damaged" in one.reason or "truncated" in one.reason for one in report.outcomes)
    assert kept_in(tmp_path / "out") == []


def test_folders_of_one_name_in_two_forms_are_one_identity(protected, tmp_path):
    names = [f"{unicodedata.normalize(form, 'Zürich')}/{form}.png" for form in ("NFC", "NFD")]
    perturber = FullSwing(level=8)
    report = protected(perturber, *names, identity_from_folder=True)
    if len({one.source.parent for one in report.outcomes}) < 2:
        pytest.skip("this file system knows only one form")
    assert [count for count, _ in perturber.asked] == [2]  # from the photos of both
    assert {one.direction for one in report.outcomes} == set(kept_in(tmp_path / "out"))


def test_a_run_that_is_broken_off_meanwhile_keeps_nothing(protected, tmp_path):
    class Interrupted(FullSwing):
        def direction(self, images, amplitudes, seed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        protected(Interrupted(), "a.png", "b.png")
    assert kept_in(tmp_path / "out") == []
    assert not [it for it in threading.enumerate() if it.name.startswith(("photo", "sample"))]

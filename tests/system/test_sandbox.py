"""The limits of a worker, tried by a worker that they bind."""

from __future__ import annotations

import errno
import sys

import pytest

from ulecli.system.isolated import IsolatedWorker
from ulecli.system.limits import Limits
from ulecli.system.sandbox import CALLS, FILES, MEMORY

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits are Linux's")

REFUSED = {
    "a socket": CALLS,
    "a local socket": CALLS,
    "a program": CALLS,
    "a new file": FILES,
    "a longer file": FILES,
    "a shorter file": FILES,
    "a removed file": FILES,
    "a moved file": FILES,
    "a new folder": FILES,
    "a link": FILES,
    "another process's memory": FILES,
}


def error_of(worker: IsolatedWorker, what: str, folder) -> int:
    return worker.call({"do": what, "folder": str(folder)}, lambda answer: answer["error"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that may be written to, and one that may not."""
    root = tmp_path_factory.mktemp("limits")
    for name in ("in", "out"):
        (root / name).mkdir()
        (root / name / "there").write_bytes(b"some content")
    return root


@pytest.fixture(scope="module")
def worker(place):
    one = IsolatedWorker(
        "isolated_entries:confined", limits=Limits(memory=8 << 30, writable=(place / "in",)), timeout=30
    )
    yield one
    one.close()


def test_every_limit_is_in_force_where_the_kernel_has_it(worker, place):
    assert error_of(worker, "a look", place / "out") == 0
    assert MEMORY in worker.in_force
    if {FILES, CALLS} - set(worker.in_force):
        pytest.skip(f"this kernel offers only {', '.join(worker.in_force)}")


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_worker_must_not_do_is_refused(worker, place, what):
    error_of(worker, "a look", place / "out")
    if REFUSED[what] not in worker.in_force:
        pytest.skip(f"this kernel does not limit {REFUSED[what]}")
    before = (place / "out" / "there").read_bytes()
    assert error_of(worker, what, place / "out") in (errno.EACCES, errno.EPERM)
    assert (place / "out" / "there").read_bytes() == before and len(list((place / "out").iterdir())) == 1


@pytest.mark.parametrize(
    "what", ["a new file", "a longer file", "a shorter file", "a new folder", "a moved file"]
)
def test_what_it_needs_is_left_to_it(worker, place, what):
    (place / "in" / "there").write_bytes(b"some content")
    assert error_of(worker, what, place / "in") == 0


@pytest.mark.parametrize("what", sorted(set(REFUSED) - {"another process's memory"}))
def test_without_limits_nothing_is_refused(place, what):
    """So that the tests above can fail; other processes' memory is often kept by other rules too."""
    folder = place / "free"
    folder.mkdir()
    (folder / "there").touch()
    worker = IsolatedWorker("isolated_entries:confined", limits=Limits(memory=0, confined=False), timeout=30)
    try:
        assert error_of(worker, what, folder) == 0 and worker.in_force == ()
    finally:
        worker.close()
        for path in folder.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()

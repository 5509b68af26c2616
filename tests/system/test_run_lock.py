from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ulecli.system.run_lock import AlreadyLocked, is_locked, locked

HOLDER = """
import sys, time
sys.path[:] = {path!r}
from pathlib import Path
from ulecli.system.run_lock import locked
with locked(Path({lock!r})):
    print("locked", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def held_elsewhere(lock: Path) -> Iterator[None]:
    script = HOLDER.format(path=sys.path, lock=str(lock))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "locked\n"
        yield
        holder.kill()


def test_one_at_a_time_and_nothing_is_left(tmp_path):
    lock = tmp_path / "lock"
    for _ in range(2):
        with locked(lock):
            assert is_locked(lock)
            with pytest.raises(AlreadyLocked), locked(lock):
                pass
            assert is_locked(lock)
        assert not is_locked(lock) and not list(tmp_path.iterdir())


def test_it_ends_with_the_process_and_the_file_that_is_left_locks_nothing(tmp_path):
    lock = tmp_path / "lock"
    with held_elsewhere(lock):
        assert is_locked(lock)
        with pytest.raises(AlreadyLocked), locked(lock):
            pass
    assert lock.exists() and not is_locked(lock)
    with locked(lock):
        pass
    assert not lock.exists()


def test_who_looks_makes_no_file_and_keeps_nobody_out(tmp_path):
    lock, found, ended = tmp_path / "lock", [], threading.Event()
    assert not is_locked(lock) and not list(tmp_path.iterdir())

    def look() -> None:
        while not ended.is_set():
            found.append(is_locked(lock))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(50):
            with locked(lock):
                time.sleep(0.001)
    finally:
        ended.set()
        looking.join()
    assert found


def test_many_that_want_it_never_have_it_together(tmp_path):
    """Each removes the file at its end, just while others open it."""
    lock, inside, together, times = tmp_path / "lock", [], [], []

    def work() -> None:
        for _ in range(30):
            with contextlib.suppress(AlreadyLocked), locked(lock):
                inside.append(1)
                together.append(len(inside))
                time.sleep(0.001)
                inside.pop()
                times.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(together) == {1} and len(times) > 30

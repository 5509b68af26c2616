from __future__ import annotations

import threading
import time
from threading import Event

import pytest
import torch

from ulecli.nets.threads import spread, torch_threads


@pytest.fixture(autouse=True)
def three_threads():
    """Let torch have another number of threads than what is spread gets, here and in new threads."""
    with torch_threads(3):
        yield


def count_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_item_is_done_once_with_one_thread_of_torch(threads: int) -> None:
    together = threading.Barrier(threads)
    counts: list[int] = []

    def work(item: int, stop: Event) -> int:
        together.wait(20)  # passes only if as many are at work at once
        counts.append(torch.get_num_threads())
        return item * item

    found: dict[int, int] = {}
    callers = set[int]()

    def done(item: int, result: int) -> None:
        found[item] = result
        callers.add(threading.get_ident())

    spread(work, range(6), threads, done)
    assert found == {item: item * item for item in range(6)}
    assert counts == [1] * 6 and callers == {threading.get_ident()}
    assert torch.get_num_threads() == 3 and count_of_a_new_thread() == 3


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("where", "error"), [("work", ValueError), ("done", ValueError), ("done", KeyboardInterrupt)]
)
def test_what_is_raised_ends_the_others(where: str, error: type[BaseException], threads: int) -> None:
    begun: list[int] = []

    def work(item: int, stop: Event) -> int:
        begun.append(item)
        if item == 0:
            time.sleep(0.05)  # until the other is at work
            if where == "work":
                raise error
        elif not stop.wait(20):
            pytest.fail("the others were not told")
        return item

    def done(item: int, result: int) -> None:
        if where == "done":
            raise error

    start = time.monotonic()
    with pytest.raises(error):
        spread(work, range(50), threads, done)
    assert time.monotonic() - start < 10
    assert len(begun) <= threads + 1  # the thread that failed may have taken one more before it was known
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("spread")]
    assert torch.get_num_threads() == 3 and count_of_a_new_thread() == 3


def test_whoever_is_free_takes_the_next() -> None:
    rest_done = Event()
    found: list[int] = []

    def work(item: int, stop: Event) -> int:
        if item == 0:
            assert rest_done.wait(20)
        return item

    def done(item: int, result: int) -> None:
        found.append(item)
        if len(found) == 9:
            rest_done.set()

    spread(work, range(10), 2, done)
    assert sorted(found) == list(range(10)) and found[-1] == 0


def test_the_number_of_threads_is_given_back() -> None:
    with pytest.raises(ValueError, match="no"), torch_threads(2):
        assert torch.get_num_threads() == 2
        raise ValueError("no")
    assert torch.get_num_threads() == 3

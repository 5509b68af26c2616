from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from isolated_entries import RAW

from ulecli.errors import PhotoError, PhotoSkipped
from ulecli.system.isolated import IsolatedWorker, Pool
from ulecli.system.limits import Limits
from ulecli.system.plain_data import BadMessage, Message

ODD = "isolated_entries:odd"


@pytest.fixture
def worker():
    one = IsolatedWorker(ODD, timeout=20)
    yield one
    one.close()
    assert one.pid is None


def same(message: Message) -> Message:
    return message


def test_a_request_is_answered_and_a_question_too(worker):
    assert worker.pid is None and worker.in_force is None
    assert worker.call({"do": "nothing", "x": [1, b"2"]}, same) == {"do": "nothing", "x": [1, b"2"]}
    pid = worker.pid
    assert worker.call({"do": "ask", "of": "x"}, same, lambda asked: {"is": asked["of"]}) == {"is": "x"}
    assert worker.pid == pid and worker.in_force is not None


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_plain_data_is_refused_and_the_process_replaced(worker, name):
    worker.call({"do": "nothing"}, same)
    with pytest.raises(PhotoError, match="what it must not"):
        worker.call({"do": name}, same)
    assert worker.pid is None and "ULECLI_TEST_PICKLE" not in os.environ
    assert worker.call({"do": "again"}, same) == {"do": "again"}


def test_what_the_reader_refuses_counts_as_such(worker):
    def refuse(message: Message) -> None:
        raise BadMessage("is odd")

    with pytest.raises(PhotoError, match="is odd"):
        worker.call({"do": "nothing"}, refuse)
    with pytest.raises(PhotoError, match="is odd"):
        worker.call({"do": "ask", "of": 1}, same, refuse)
    with pytest.raises(PhotoError, match="out of turn"):
        worker.call({"do": "ask", "of": 1}, same)
    with pytest.raises(PhotoError, match="too large"):
        worker.call({"do": "nothing", "x": bytes(2000)}, same, max_content=1000)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("name", "words"),
    [("die", "SIGABRT"), ("exit", "exit code 7"), ("crash by a signal that is refused", "SIGSEGV")],
)
def test_a_process_that_dies_is_named_and_replaced(worker, name, words):
    with pytest.raises(PhotoError, match=f"died of it.*{words}"):
        worker.call({"do": name}, same)
    assert worker.call({"do": "again"}, same) == {"do": "again"}


def test_one_that_hangs_is_given_up():
    worker, began = IsolatedWorker(ODD, timeout=1.5), time.perf_counter()
    with pytest.raises(PhotoError, match=r"1\.5 s.*--timeout"):
        worker.call({"do": "hang"}, same)
    assert worker.pid is None and time.perf_counter() - began < 10


def test_faults_keep_their_kind_and_the_process_goes_on(worker):
    worker.call({"do": "nothing"}, same)
    pid = worker.pid
    with pytest.raises(PhotoSkipped, match="left alone"):
        worker.call({"do": "skip"}, same)
    with pytest.raises(PhotoError, match="unexpected KeyError"):
        worker.call({"what": "is missing"}, same)
    assert worker.pid == pid


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_memory_is_limited_and_its_lack_told():
    worker = IsolatedWorker(ODD, limits=Limits(memory=300 << 20), timeout=20)
    assert worker.call({"do": "grow", "size": 100 << 20}, same) == {"size": 100 << 20}
    assert "memory" in worker.in_force
    with pytest.raises(PhotoError, match="more memory than there is"):
        worker.call({"do": "grow", "size": 400 << 20}, same)
    worker.close()


def test_a_pool_keeps_the_order_and_goes_on_after_a_failure():
    def work(worker: IsolatedWorker, name: str) -> str:
        try:
            return worker.call({"do": name}, same)["do"]
        except PhotoError:
            return "failed"

    names = ["a", "exit", "b", "skipped", "die", "c"] * 2
    found = list(Pool(ODD, 2, timeout=20).map(work, names))
    assert found == ["failed" if name in ("exit", "die") else name for name in names]


def test_a_pool_that_is_left_does_not_wait_for_what_hangs():
    began = time.perf_counter()
    found = Pool(ODD, 2).map(lambda worker, name: worker.call({"do": name}, same), ["a", "hang", "b", "c"])
    assert next(found) == {"do": "a"}
    found.close()
    assert time.perf_counter() - began < 15


def test_who_comes_too_late_gets_no_worker():
    pool = Pool(ODD, 1)
    with pytest.raises(ZeroDivisionError), pool:
        raise ZeroDivisionError
    with ThreadPoolExecutor(1) as threads, pytest.raises(PhotoError, match="given up"):
        threads.submit(lambda: pool.hired().__enter__()).result()
    assert pool.given_up

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ulecli.perturb import batching
from ulecli.perturb.batching import BatchingPerturber, batched


class Recorder:
    """Answers each photo with its direction, whatever else is in the batch; the first call waits for `go`."""

    grid, samples, label, sha256 = 4, 3, "recorder 01234567", "01234567" * 8

    def __init__(self, device: str = "cuda (a test)", too_many: int = 1000) -> None:
        self.device = device
        self.too_many = too_many
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.go = threading.Event()

    def direction(self, images, amplitudes, seed):
        self.threads.add(threading.current_thread().name)
        return np.full(2, len(images) + seed, np.float32)

    def __call__(self, images, directions, amplitudes, aspects):
        assert len(images) == len(directions) == len(amplitudes) == len(aspects)
        numbers = directions[:, 0]
        self.sizes.append(len(numbers))
        self.threads.add(threading.current_thread().name)
        self.go.wait(10)
        if len(numbers) >= self.too_many or (numbers < 0).any():
            raise MemoryError
        assert (images[:, 0, 0, 0] == numbers).all() and (aspects == numbers).all()
        return (numbers[:, None, None, None] % 100 + amplitudes).astype(np.int8)

    def recognised(self, images, directions, deltas):
        self.threads.add(threading.current_thread().name)
        return deltas[:, 0, 0, 0] > 0


def ask(perturber, number: int, amplitude: int = 8, side: int = 4):
    images = np.full((1, 3, side, side), number, np.float32)
    amplitudes = np.full((1, 1, side, side), amplitude, np.float32)
    return perturber(images, np.full((1, 2), number, np.float32), amplitudes, np.array([number], np.float32))


def ask_all(recorder: Recorder, numbers: range, perturber) -> list:
    """Let all ask while the first call, with whoever came in time for it, is still under way."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        futures = [pool.submit(ask, perturber, number) for number in numbers]
        while perturber._waiting.qsize() + sum(recorder.sizes) < len(numbers):
            time.sleep(0.001)
        recorder.go.set()
        return [future.result(10) for future in futures]


def test_calls_of_threads_are_joined_and_everyone_gets_his_own():
    recorder = Recorder()
    with batched(recorder) as perturber:
        assert isinstance(perturber, BatchingPerturber)
        answers = ask_all(recorder, range(100), perturber)
    assert [int(answer[0, 0, 0, 0]) for answer in answers] == [number % 100 + 8 for number in range(100)]
    assert all(answer.shape == (1, 1, 4, 4) for answer in answers)
    assert sum(recorder.sizes) == 100 and max(recorder.sizes) <= batching.MAX_BATCH
    assert len(recorder.sizes) <= 4
    assert recorder.threads == {"batches"}
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_one_that_fails_does_not_take_the_others_with_it():
    recorder = Recorder(too_many=3)
    with batched(recorder) as perturber, ThreadPoolExecutor(9) as pool:
        futures = {number: pool.submit(ask, perturber, number) for number in range(-1, 8)}
        recorder.go.set()
        with pytest.raises(MemoryError):
            futures.pop(-1).result(10)
        assert [int(one.result(10)[0, 0, 0, 0]) for one in futures.values()] == list(range(8, 16))


def test_bounds_go_with_their_photos():
    recorder = Recorder()
    with batched(recorder) as perturber, ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(ask, perturber, 1, amplitude) for amplitude in (2, 4, 2, 4, 6, 4)]
        recorder.go.set()
        assert [int(one.result(10)[0, 0, 0, 0]) for one in futures] == [3, 5, 3, 5, 7, 5]


def test_only_working_images_of_one_size_share_a_call():
    recorder = Recorder()
    sides = (4, 3, 4, 2, 3, 4)
    with batched(recorder) as perturber, ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(ask, perturber, number, 8, side) for number, side in enumerate(sides)]
        recorder.go.set()
        answers = [one.result(10) for one in futures]
    assert [answer.shape for answer in answers] == [(1, 1, side, side) for side in sides]
    assert [int(answer[0, 0, 0, 0]) for answer in answers] == list(range(8, 14))


def test_what_is_not_joined_is_asked_of_the_real_one_at_once():
    recorder = Recorder()
    with batched(recorder) as perturber:
        assert (perturber.direction(np.zeros((3, 3, 4, 4)), np.ones((3, 1, 4, 4)), 5) == 8).all()
        deltas = np.arange(2, dtype=np.int8)[:, None, None, None]
        assert perturber.recognised(np.zeros((2, 3, 4, 4)), np.zeros((2, 2)), deltas).tolist() == [
            False,
            True,
        ]
    assert recorder.threads == {threading.current_thread().name}


@pytest.mark.parametrize(("device", "joined"), [("cpu (x)", False), ("mps (x)", True), ("cuda:0 (x)", True)])
def test_only_gpus_are_fed_in_batches(device, joined):
    recorder = Recorder(device)
    with batched(recorder) as perturber:
        assert isinstance(perturber, BatchingPerturber) is joined
        assert (perturber.grid, perturber.samples, perturber.device) == (4, 3, device)
        assert (perturber.label, perturber.sha256) == (recorder.label, recorder.sha256)
        assert (perturber is recorder) is not joined

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ulecli.data.shapes import shapes
from ulecli.perturb import batching
from ulecli.perturb.batching import BatchingPerturber, batched
from ulecli.surrogates.opening import open_perturber
from ulecli.system.devices import Device


class Recorder:
    """Answers each photo with its code, whatever else is in the batch; the first call waits to be let go."""

    grid, codes, families, label, sha256 = 4, 1000, 1, "recorder 01234567", "01234567" * 8

    def __init__(self, device: str = "cuda (a test)", too_many: int = 1000) -> None:
        self.device = device
        self.too_many = too_many
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.go = threading.Event()

    def __call__(self, images, codes, aspects, *, epsilon):
        assert len(images) == len(codes) == len(aspects)
        self.sizes.append(len(codes))
        self.threads.add(threading.current_thread().name)
        self.go.wait(10)
        if len(codes) >= self.too_many or (codes < 0).any():
            raise MemoryError
        assert (images[:, 0, 0, 0] == codes).all() and (aspects == codes).all()
        return np.broadcast_to((codes % 100 + epsilon)[:, None, None, None], (len(codes), 1, 4, 4)).astype(
            np.int8
        )


def ask(perturber, code: int, epsilon: int = 8):
    images = np.full((1, 3, 4, 4), code, np.float32)
    return perturber(images, np.array([code]), np.array([code], np.float32), epsilon=epsilon)


def ask_all(recorder: Recorder, codes: range, perturber) -> list:
    """Let all ask while the first call, with whoever came in time for it, is still under way."""
    with ThreadPoolExecutor(len(codes)) as pool:
        futures = [pool.submit(ask, perturber, code) for code in codes]
        while perturber._waiting.qsize() + sum(recorder.sizes) < len(codes):
            time.sleep(0.001)
        recorder.go.set()
        return [future.result(10) for future in futures]


def test_calls_of_threads_are_joined_and_everyone_gets_his_own():
    recorder = Recorder()
    with batched(recorder) as perturber:
        assert isinstance(perturber, BatchingPerturber)
        answers = ask_all(recorder, range(100), perturber)
    assert [int(answer[0, 0, 0, 0]) for answer in answers] == [code % 100 + 8 for code in range(100)]
    assert all(answer.shape == (1, 1, 4, 4) for answer in answers)
    assert sum(recorder.sizes) == 100 and max(recorder.sizes) <= batching.MAX_BATCH
    assert len(recorder.sizes) <= 4
    assert recorder.threads == {"batches"}
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_one_that_fails_does_not_take_the_others_with_it():
    recorder = Recorder(too_many=3)
    with batched(recorder) as perturber, ThreadPoolExecutor(9) as pool:
        futures = {code: pool.submit(ask, perturber, code) for code in range(-1, 8)}
        recorder.go.set()
        with pytest.raises(MemoryError):
            futures.pop(-1).result(10)
        assert [int(one.result(10)[0, 0, 0, 0]) for one in futures.values()] == list(range(8, 16))


def test_different_bounds_never_share_a_call():
    recorder = Recorder()
    recorder.go.set()
    with batched(recorder) as perturber, ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(ask, perturber, 1, epsilon) for epsilon in (2, 4, 2, 4, 2, 4)]
        assert [int(one.result(10)[0, 0, 0, 0]) for one in futures] == [3, 5, 3, 5, 3, 5]


@pytest.mark.parametrize(("device", "joined"), [("cpu (x)", False), ("mps (x)", True), ("cuda:0 (x)", True)])
def test_only_gpus_are_fed_in_batches(device, joined):
    recorder = Recorder(device)
    with batched(recorder) as perturber:
        assert isinstance(perturber, BatchingPerturber) is joined
        assert (perturber.grid, perturber.codes, perturber.device) == (4, 1000, device)
        assert (perturber is recorder) is not joined


@pytest.mark.parametrize("size", [2, 5])
def test_on_a_cpu_a_batch_gives_what_single_photos_give(size):
    perturber = open_perturber("photo", device=Device.CPU)
    levels = shapes(size).images.numpy().repeat(2, 2).repeat(2, 3)[..., : perturber.grid, : perturber.grid]
    images = levels.astype(np.float32) / 255
    codes = np.arange(size) * 17 % perturber.codes  # of several families
    aspects = np.linspace(0.5, 2, size, dtype=np.float32)
    together = perturber(images, codes, aspects, epsilon=8)
    for place in range(size):
        one = slice(place, place + 1)
        assert np.array_equal(perturber(images[one], codes[one], aspects[one], epsilon=8), together[one])
    assert np.abs(together).max() == 8

from __future__ import annotations

import threading

import pytest
import torch

from ulecli.nets.precision import exact_float32, has_bfloat16


@pytest.mark.parametrize(("name", "there"), [("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)])
def test_a_processor_says_what_it_has(monkeypatch, name: str, there: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True, "cpu_name": "bf16 by name alone"})
    assert has_bfloat16.__wrapped__("cpu") is there


def test_without_an_answer_it_is_none(monkeypatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_bfloat16.__wrapped__("cpu") is False


def test_gpus_have_it() -> None:
    assert has_bfloat16("cuda") and has_bfloat16("mps")


def test_convolutions_are_exact_until_the_last_thread_has_left():
    before = torch.backends.cudnn.allow_tf32
    both, left = threading.Barrier(2, timeout=10), threading.Event()
    found = []

    def first() -> None:
        with exact_float32():
            both.wait()
        left.set()

    thread = threading.Thread(target=first)
    thread.start()
    with exact_float32():
        both.wait()
        assert left.wait(10)
        found.append(torch.backends.cudnn.allow_tf32)
    thread.join()
    assert found == [False] and torch.backends.cudnn.allow_tf32 is before

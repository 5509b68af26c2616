from __future__ import annotations

import pytest
import torch

from ulecli.nets.precision import has_bfloat16


@pytest.mark.parametrize(("name", "there"), [("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)])
def test_a_processor_says_what_it_has(monkeypatch, name: str, there: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True, "cpu_name": "bf16 by name alone"})
    assert has_bfloat16.__wrapped__("cpu") is there


def test_without_an_answer_it_is_none(monkeypatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_bfloat16.__wrapped__("cpu") is False


def test_gpus_have_it() -> None:
    assert has_bfloat16("cuda") and has_bfloat16("mps")

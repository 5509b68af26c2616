from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from ulecli.crafting.bilevel import Bilevel, Crafted
from ulecli.crafting.settings import BilevelSettings
from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import UsageError
from ulecli.nets.threads import torch_threads

IMAGES = shapes(300)
BOUND = 8 / 255


def loop(gray: bool = True, augment: bool = True, net: str = "linear", **changes) -> Bilevel:
    settings = BilevelSettings(gray, augment, **({"batch_size": 64, "rate": 0.03, "rounds": 3} | changes))
    return Bilevel(IMAGES, settings, net=net, epsilon=8, seed=changes.pop("seed", 0))


def same(one: Crafted, other: Crafted) -> bool:
    return torch.equal(one.delta, other.delta) and one.errors == other.errors


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("classwise", [True, False])
def test_delta_keeps_the_bound_and_the_surrogate_errs_less_and_less(gray: bool, classwise: bool) -> None:
    made = loop(gray, augment=False, classwise=classwise, rounds=8).run()
    count = len(IMAGES.classes) if classwise else len(IMAGES)
    assert made.delta.shape == (count, 1 if gray else 3, 32, 32)
    assert float(made.delta.abs().max()) == pytest.approx(BOUND, rel=1e-3)
    assert made.errors[-1] < 0.3 < 0.5 < 0.9
    assert made.errors[-1] < made.errors[0] or made.converged


def test_a_round_takes_the_steps_of_the_surrogate_that_has_just_learned() -> None:
    """One step from zero, on images as they are: the sign of autograd's gradient, times the step."""
    run = loop(gray=False, augment=False, net="mlp", steps=1, step=0.5, random_start=False)
    run.round()
    shown = (IMAGES.images / 255).requires_grad_(True)
    functional.cross_entropy(run.net.eval()(shown), IMAGES.labels, reduction="sum").backward()
    wanted = -0.5 * BOUND * shown.grad.sign()
    assert (torch.isclose(run.delta.float(), wanted, atol=1e-5)).float().mean() > 0.999


def test_the_error_is_that_of_the_surrogate_on_protected_images() -> None:
    run = loop(gray=False, augment=False)
    run.round()
    with torch.no_grad():
        logits = run.net.eval()((IMAGES.images / 255 + run.delta.float()).clip(0, 1))
    assert run.errors == [pytest.approx(float((logits.argmax(1) != IMAGES.labels).float().mean()))]


def test_the_number_of_threads_changes_nothing() -> None:
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append(loop(rounds=2, training_steps=2).run())
    assert same(*found)


def test_what_was_interrupted_goes_on_as_if_nothing_had_been(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ulecli.crafting.bilevel.CHECKPOINT_AFTER", 0.0)
    whole = loop(stop_error=0.0).run()
    checkpoint = tmp_path / "loop.checkpoint"

    def interrupt(number: int, done: int, error: float) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(stop_error=0.0).run(checkpoint, interrupt)
    assert checkpoint.exists()
    taken_up = loop(stop_error=0.0)
    rounds = []
    assert same(taken_up.run(checkpoint, lambda number, *_: rounds.append(number)), whole)
    assert min(rounds) == 3


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_checkpoint_and_one_of_another_run_count_as_none(
    tmp_path: Path, monkeypatch, content: bytes
) -> None:
    monkeypatch.setattr("ulecli.crafting.bilevel.CHECKPOINT_AFTER", 0.0)
    checkpoint = tmp_path / "loop.checkpoint"
    wanted = loop(rounds=1).run()
    checkpoint.write_bytes(content)
    assert same(loop(rounds=1).run(checkpoint), wanted)
    loop(rounds=1, steps=3).run(checkpoint)
    assert same(loop(rounds=1).run(checkpoint), wanted)


def test_without_an_end_the_loop_ends_at_its_most_rounds() -> None:
    made = loop(rounds=2, stop_error=0.0).run()
    assert len(made.errors) == 2 and not made.converged


def test_seeds_differ_and_restarts_begin_anew() -> None:
    settings = BilevelSettings(True, True, rounds=2, rate=0.03, training_steps=2)
    deltas = [
        Bilevel(IMAGES, settings, net="linear", epsilon=8, seed=seed).run().delta.float() for seed in (0, 1)
    ]
    assert (deltas[0] != deltas[1]).float().mean() > 0.2
    run = loop(restart=True)
    run.round()
    first = run.net
    run.round()
    assert run.net is not first


def test_one_class_is_refused() -> None:
    alone = ImageSet(IMAGES.images, torch.zeros_like(IMAGES.labels), ("a",))
    with pytest.raises(UsageError, match="two classes"):
        Bilevel(alone, BilevelSettings(True, True), net="linear", epsilon=8, seed=0)


def test_a_net_for_colour_alone_sees_gray_in_three_channels() -> None:
    settings = BilevelSettings(True, True, rounds=1, training_steps=1, steps=1)
    few = IMAGES.subset(torch.arange(8))
    made = Bilevel(few, settings, net="torchvision-resnet18", epsilon=8, seed=0).run()
    assert made.delta.shape == (8, 1, 32, 32) and made.delta.abs().max() > 0

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ulecli.errors import UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.exploiters.attacks import Pgd
from ulecli.evaluation.exploiters.protocol import PRESETS, for_net
from ulecli.evaluation.exploiters.result import ExploitResult
from ulecli.evaluation.self_checks import result_warnings
from ulecli.imaging.upload import Upload

PLAIN = EvaluateConfig()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exploiters": ("grey",)}, "did you mean gray"),
        ({"defenders": ("cifra",)}, "did you mean cifar"),
        ({"archs": ("resnet-18",)}, "did you mean resnet18"),
        ({"preset": "slow"}, "no preset 'slow', only quick, fast, paper"),
        ({"exploiters": ()}, "at least one exploiter"),
        ({"seeds": ()}, "one seed"),
        ({"seeds": (0, -1)}, "0 or more"),
        ({"seeds": (2**63,)}, "below 2"),
        ({"train_images": -1}, "0 or more"),
        ({"threads": -1}, "0 or more"),
        ({"epsilon": 0}, "--eps is 0"),
        ({"epsilon": 33}, "--eps is 33"),
        ({"mix": (60, 50)}, "--mix"),
        ({"mix": (0, 50)}, "--mix"),
        ({"mix": (5, 30), "train_images": 100}, "leave out --train-images"),
        ({"validation": -0.01}, "--validation -0.01: write a share from 0 to 0.5"),
        ({"validation": 0.51}, "--validation 0.51: write a share from 0 to 0.5"),
        ({"validation": float("nan")}, "--validation nan"),
        ({"validation": "0.1"}, "validation is '0.1', but takes a number"),
        ({"validation": 0.1, "exploiters": ("probe", "centroid")}, "none of these exploiters has epochs"),
        ({"resume": True}, "--resume needs --out"),
        ({"only": ("sea",)}, "belong to --protected"),
        ({"only": ("each", "sea")}, "--only each protects every class in turn"),
        ({"share": 0.5}, "--share belongs to --only"),
        ({"share": 0}, "--share 0: write a number above 0, up to 1"),
        ({"share": 1.01}, "--share 1.01"),
        ({"upload": Upload(quality=85)}, "belong to --protected"),
        ({"protected": Path("x")}, "needs --dataset FOLDER"),
        ({"protected": Path("x"), "dataset": "y", "defenders": ("cifar",)}, "stands alone"),
        ({"protected": Path("x"), "dataset": "y", "poisons": (Path("p"),)}, "stands alone"),
    ],
)
def test_what_can_not_be_right_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(PLAIN, **changes)


def test_the_protocol_follows_size_countermeasure_and_net() -> None:
    quick, standard = PRESETS["quick"], PLAIN.measure("standard")
    assert PLAIN.protocol(standard, "", 32) == quick.small
    photos = PLAIN.protocol(standard, "", 96)
    assert photos == replace(quick.photos, augment=replace(quick.photos.augment, sizes=(96,)))
    paper = replace(PLAIN, preset="paper", attack_steps=10)
    hardened = paper.protocol(paper.measure("at"), "", 32)
    assert (hardened.epochs, hardened.schedule) == (100, "drops")
    assert paper.measure("at").attack == Pgd(8, steps=10, step=2.0, spread=2.0)
    assert replace(PLAIN, preset="paper").measure("at").attack.steps == 7
    assert PLAIN.protocol(standard, "fast-conv", 32) == quick.small
    assert PLAIN.protocol(standard, "vgg11", 32) == for_net(quick.small, "vgg11", {})
    assert PLAIN.protocol(standard, "mlp", 32).settings == {"size": 32}


def test_the_side_is_the_presets_unless_named() -> None:
    assert [replace(PLAIN, preset=name).side for name in ("quick", "fast", "paper")] == [64, 112, 224]
    assert replace(PLAIN, size=100).side == 100
    assert replace(PLAIN, defenders=("noise",)).side == 64
    assert replace(PLAIN, defenders=("noise", "cifar-classwise")).side == 32


def test_the_fingerprint_leaves_out_what_may_be_added_later() -> None:
    here = PLAIN.fingerprint("md5")
    for later in (
        {"seeds": (1, 2)},
        {"exploiters": ("bdr-2",)},
        {"defenders": ("cifar",)},
        {"archs": ("mlp",)},
        {"controls": False},
        {"attack_steps": 10},
        {"jobs": 3},
    ):
        assert replace(PLAIN, **later).fingerprint("md5") == here
    for other in (
        {"epsilon": 4},
        {"preset": "fast"},
        {"dataset": "shapes"},
        {"mix": (5, 30)},
        {"size": 96},
        {"validation": 0.1},
    ):
        assert replace(PLAIN, **other).fingerprint("md5") != here
    assert PLAIN.fingerprint("other") != here


def reported(result: ExploitResult, **changes: object) -> tuple[str, ...]:
    usual = {
        "dataset": "cifar10",
        "preset": "quick",
        "poison": "clean",
        "exploiter": "standard",
        "whole": True,
    }
    return result_warnings(result, **{**usual, **changes})


def result(last: float, **robust: float) -> ExploitResult:
    named = {name.replace("_", "-"): value for name, value in robust.items()}
    return ExploitResult((last,), (0.0,), (last,) * 10, named)


@pytest.mark.parametrize(
    ("last", "changes", "doubted"),
    [
        (84.9, {}, True),
        (85.0, {}, False),
        (92.9, {"preset": "fast"}, True),
        (93.0, {"preset": "fast"}, False),
        (93.4, {"preset": "paper"}, True),
        (89.9, {"dataset": "shapes"}, True),
        (28.0, {"dataset": "scenes"}, False),
        (27.9, {"dataset": "scenes"}, True),
        (20.0, {"poison": "cifar"}, False),
        (28.0, {"exploiter": "gray"}, False),
        (27.9, {"exploiter": "gray"}, True),
        (28.0, {"whole": False}, False),
    ],
)
def test_a_clean_control_below_its_preset_is_doubted(last: float, changes: dict, doubted: bool) -> None:
    found = reported(result(last), **changes)
    assert len(found) == doubted
    assert all(f"{last:.1f} %" in line for line in found)


@pytest.mark.parametrize(
    ("last", "fgsm", "pgd", "poison", "words"),
    [
        (70, 50, 45, "clean", []),
        (80, 60, 39.9, "clean", ["collapsed: PGD-20 leaves 20 points less"]),
        (80, 60, 40, "clean", []),
        (80, 60, 0, "cifar", ["collapsed"]),
        (27, 20, 20, "clean", ["too short"]),
        (27, 20, 20, "cifar", []),
        (27, 60, 0, "clean", ["collapsed", "too short"]),
    ],
)
def test_adversarial_training_is_doubted(last, fgsm, pgd, poison, words) -> None:
    found = reported(result(last, fgsm=fgsm, pgd_20=pgd), exploiter="at-8", poison=poison)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))

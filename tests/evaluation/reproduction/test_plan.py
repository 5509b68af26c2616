from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from ulecli.errors import UsageError
from ulecli.evaluation.reproduction.asked import Asked
from ulecli.evaluation.reproduction.paper import CLEAN, GRAY_AUGS, ULEO, Training
from ulecli.evaluation.reproduction.plan import plan


def asked(*tables: str, **settings: object) -> Asked:
    return Asked(tables, Path("out"), **{"preset": "quick", **settings})  # type: ignore[arg-type]


def test_a_training_that_tables_share_is_made_once() -> None:
    found = plan(asked("table1", "table2", "table7", "table8", "figure4"))
    arms = [
        (group.folder, group.config.defender_names, exploiter, arch)
        for group in found.groups
        for exploiter, arch in product(group.config.exploiter_names, group.config.arch_names or ("",))
    ]
    assert len(arms) == len(set(arms)) == len(found.trainings) - len(found.left_out) == 7 + 7 + 2 + 2 + 3
    assert not any(group.config.noise for group in found.groups)


def test_presets_differ_in_who_stands_for_the_papers_methods() -> None:
    quick = {group.config.defender_names for group in plan(asked("table2")).groups}
    assert quick == {(), ("uleo",), ("uleo-augs",), ("uleo-grays",), ("uleo-grayaugs",)}
    for preset in ("fast", "paper"):
        found = plan(asked("table2", preset=preset))
        named = {group.config.defender_names[0] for group in found.groups if group.config.defenders}
        assert named == {f"bilevel-uleo{end}@resnet18" for end in ("", "-augs", "-grays", "-grayaugs")}
        assert not found.left_out


def test_a_net_behind_a_method_is_its_surrogate() -> None:
    found = plan(asked("table3", train_images=1000))
    names = {group.config.defender_names[0] for group in found.groups}
    assert names == {"uleo-grayaugs", "uleo-grayaugs@densenet121", "uleo-grayaugs@vgg11"}
    assert {group.config.arch_names for group in found.groups} == {(), ("densenet121", "vgg11")}


def test_a_cpu_is_spared_the_largest_net() -> None:
    found = plan(asked("table3", "table6"))
    assert {*found.left_out} == {
        one for one in found.trainings if "densenet121" in (one.net, one.treatment.surrogate)
    }
    assert Training(GRAY_AUGS, "standard", "vgg11") not in found.left_out
    assert not plan(asked("table6", train_images=5000)).left_out
    assert not plan(asked("table6", device="cuda")).left_out


def test_a_folder_is_for_table_5_alone(tmp_path) -> None:
    for part, label in product(("train", "test"), ("a", "b")):
        (tmp_path / part / label).mkdir(parents=True)
    found = plan(asked("table2", "table5", dataset=str(tmp_path), size=0))
    photos = [group.config for group in found.groups if group.config.dataset == str(tmp_path)]
    assert {config.dataset for config in (group.config for group in found.groups)} == {
        "cifar10",
        str(tmp_path),
    }
    assert {config.epsilon for config in photos} == {16} and {config.size for config in photos} == {32}
    assert {config.defender_names for config in photos} == {
        *((), ("uleo-classwise",), ("uleo-grayaugs-classwise",), ("uleo",))
    }
    with pytest.raises(UsageError, match="table5"):
        asked("table2", dataset=str(tmp_path))


def test_mixes_have_a_folder_each_and_their_own_controls() -> None:
    found = plan(asked("table4"))
    assert {group.folder.name for group in found.groups} == {"mix-5-10", "mix-5-30"}
    controls = [group for group in found.groups if group.config.controls]
    assert [group.config.mix for group in controls] == [(5, 30), (5, 10)]
    assert {one.treatment for group in found.groups for one in group.trainings} >= {CLEAN, ULEO, GRAY_AUGS}

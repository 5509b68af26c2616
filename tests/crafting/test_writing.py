from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ulecli.crafting.layout import Layout
from ulecli.crafting.writing import check_target, write_card, write_poison
from ulecli.data.folder import image_folder
from ulecli.data.images import ImageSet
from ulecli.data.shapes import shapes
from ulecli.errors import TargetError, UsageError
from ulecli.evaluation.poisons.reading import read_poison

CLEAN = shapes(60)
POISON = ImageSet((CLEAN.images.int() + 5).clamp(0, 255).byte(), CLEAN.labels, CLEAN.classes)


@pytest.mark.parametrize("name", ["poison.npy", "poison.npz", "poison.safetensors", "poison"])
@pytest.mark.parametrize("layout", Layout)
def test_evaluate_reads_what_is_written(tmp_path: Path, name: str, layout: Layout) -> None:
    write_poison(tmp_path / name, POISON, layout)
    write_card(tmp_path / name, {"method": "uleo"}, [0.5, 0.1])
    found = read_poison(tmp_path / name, CLEAN)
    assert torch.equal(found.images.images, POISON.images) and not found.notes


def test_a_folder_by_classes_is_an_image_folder(tmp_path: Path) -> None:
    write_poison(tmp_path / "out", POISON, Layout.CLASSES)
    found = image_folder(tmp_path / "out", 32)
    numbers = [POISON.classes.index(name) for name in found.classes]
    order = torch.cat([(POISON.labels == number).nonzero().flatten() for number in numbers])
    assert torch.equal(found.images, POISON.images[order])


def test_the_card_and_the_drawing_lie_in_the_folder_or_beside_the_file(tmp_path: Path) -> None:
    for output, card, drawing in (
        ("a.npy", "a.poison.json", "a.errors.svg"),
        ("b", "b/poison.json", "b/errors.svg"),
    ):
        write_card(tmp_path / output, {"method": "uleo"}, [0.5, 0.1])
        assert json.loads((tmp_path / card).read_text()) == {"method": "uleo"}
        assert "surrogate's error in %" in (tmp_path / drawing).read_text()
    write_card(tmp_path / "c", {}, [])
    assert not (tmp_path / "c" / "errors.svg").exists()


def test_places_that_are_taken_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    check_target(tmp_path / "there", resumes=False)
    (tmp_path / "there" / "photo.jpg").touch()
    with pytest.raises(TargetError, match="already"):
        check_target(tmp_path / "there", resumes=False)
    check_target(tmp_path / "there", resumes=True)
    with pytest.raises(UsageError, match=r"\.npy"):
        check_target(tmp_path / "poison.zip", resumes=False)


def test_a_place_where_nothing_can_be_made_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_target(tmp_path / "new" / "poison", resumes=False)
    for output in (tmp_path / "file" / "poison", tmp_path / "file" / "poison.npy"):
        with pytest.raises(TargetError, match="can't write to"):
            check_target(output, resumes=False)
    assert not any((tmp_path / "new").iterdir())

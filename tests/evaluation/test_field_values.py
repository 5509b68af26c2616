from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ulecli.errors import UsageError
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.field_values import as_meant, parse_mix
from ulecli.evaluation.poisons.content import PoisonKind
from ulecli.imaging.upload import Upload
from ulecli.system.devices import Device

PLAIN = EvaluateConfig()


@pytest.mark.parametrize("name", ["exploiters", "defenders", "archs", "only", "poisons", "seeds"])
@pytest.mark.parametrize("value", ["gray", Path("x.npy"), 3, None])
def test_one_thing_where_a_tuple_is_meant_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"{name} is .*: write a tuple, \(.*,\) for one alone"):
        replace(PLAIN, **{name: value})


def test_strings_are_taken_for_paths_and_lists_for_tuples(tmp_path) -> None:
    given = EvaluateConfig(
        exploiters=["gray"],
        seeds=range(2),
        poisons=["a.npy", Path("b.npy")],
        poison_kind="images",
        data_root=str(tmp_path),
        out="out",
    )
    assert given == EvaluateConfig(
        exploiters=("gray",),
        seeds=(0, 1),
        poisons=(Path("a.npy"), Path("b.npy")),
        poison_kind=PoisonKind.IMAGES,
        data_root=tmp_path,
        out=Path("out"),
    )
    photos = EvaluateConfig(dataset=tmp_path, protected=f"{tmp_path}-protected", upload="1080:q85")
    assert (photos.dataset, photos.protected) == (str(tmp_path), Path(f"{tmp_path}-protected"))
    assert photos.upload == Upload(1080, 85)
    with pytest.raises(UsageError, match=r"poison kind 'image'.*did you mean images"):
        EvaluateConfig(poison_kind="image")


def test_mix_is_two_numbers() -> None:
    assert parse_mix("5+30") == (5, 30)
    for text in ("5", "5+", "5+30+1", "a+b", "-5+30", "5.5+3", "1000+1"):
        with pytest.raises(UsageError, match=r"CLEAN\+ADDED"):
            parse_mix(text)


def test_words_stand_for_what_the_command_makes_of_them() -> None:
    assert EvaluateConfig(mix="5+30").mix == (5, 30)
    with pytest.raises(UsageError, match=r"CLEAN\+ADDED"):
        EvaluateConfig(mix="5")
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert EvaluateConfig(device="auto").device == EvaluateConfig(device=Device.AUTO).device == best
    assert EvaluateConfig(device=torch.device("cpu")).device == "cpu"
    given = {name: getattr(PLAIN, name) for name in PLAIN.__dataclass_fields__}
    assert as_meant({**given, "backbones": [Path("net.onnx")]})["backbones"] == ("net.onnx",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"poisons": (3,)}, "poisons holds a int; each has to be a text or a path"),
        ({"only": (3,)}, "only holds a int"),
        ({"backbones": (torch.nn.Flatten(),)}, "backbones holds a Flatten"),
        ({"seeds": ("0", "1")}, r"seeds is \('0', '1'\), but takes whole numbers"),
        ({"jobs": "2"}, "jobs is '2', but takes whole numbers"),
        ({"train_images": 0.5}, "train_images is 0.5, but takes whole numbers"),
    ],
)
def test_what_can_not_be_meant_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(PLAIN, **changes)


def test_what_is_given_as_it_is_meant_stays() -> None:
    given = {name: getattr(PLAIN, name) for name in PLAIN.__dataclass_fields__}
    assert given | as_meant(given) == given

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.tiny_runs import tiny as tiny
from torch import Tensor, nn

from ulecli import api
from ulecli.errors import UsageError
from ulecli.evaluation.by_value import built, named
from ulecli.evaluation.config import EvaluateConfig
from ulecli.evaluation.exploiters.attacks import Pgd
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.exploiters.registry import exploiter_names, find_exploiter
from ulecli.evaluation.order import Defender, Order
from ulecli.evaluation.plugins import SHIPPED
from ulecli.evaluation.run import evaluate
from ulecli.nets.registry import NETS, Net


def bgr(images: Tensor, targets: Tensor, rng: object) -> tuple[Tensor, Tensor]:
    return images[:, [2, 1, 0]], targets


BGR = Countermeasure(name="bgr", varies=(bgr,))


class Shallow(nn.Module):
    """A net whose classes are called as torchvision calls them."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 32 * 32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def dark(images: object, order: Order) -> Tensor:
    return images.images ^ 3


def names_of(**given: object) -> tuple[str, ...]:
    config = EvaluateConfig(**given)
    return config.exploiter_names + config.arch_names + config.defender_names


@pytest.mark.parametrize("name", exploiter_names())
def test_what_ships_keeps_its_name_and_needs_no_plugin(name: str) -> None:
    steps = {"attack_steps": 7}
    config = EvaluateConfig(exploiters=(find_exploiter(name),), **steps)
    assert (config.exploiters, config.plugins) == ((name,), ())


def test_objects_get_names() -> None:
    assert names_of(exploiters=(BGR, "gray", BGR)) == ("bgr", "gray", "bgr")
    assert names_of(exploiters=(Countermeasure(), Countermeasure(varies=(bgr,)))) == ("standard", "own")
    assert names_of(exploiters=(replace(BGR, name="Mine + ü"),)) == ("mine--",)
    assert names_of(exploiters=(find_exploiter("gray+jpeg-10"),)) == ("gray+jpeg-10",)
    usual = {"exploiters": ("standard",)}
    shipped = (NETS["vgg11"], NETS["resnet18"].make, "mlp")
    assert names_of(archs=shipped, **usual)[1:] == ("vgg11", "resnet18", "mlp")
    own = (Shallow, partial(Shallow), lambda: Shallow(10), Net(Shallow), Shallow(10), nn.Linear(3, 3))
    expected = ("Shallow", "own-Shallow", "net", "own-Shallow-2", "own-Shallow-3", "Linear")
    assert names_of(archs=own, **usual)[1:] == expected
    assert names_of(defenders=(dark, Defender(dark), "noise"), **usual)[1:] == ("dark", "own-dark", "noise")


def test_a_name_that_is_taken_is_not_taken_over() -> None:
    for name in ("gray", "jpeg-10"):
        config = EvaluateConfig(exploiters=(name, replace(BGR, name=name)))
        assert config.exploiters == (name, f"own-{name}")
        assert config.measure(f"own-{name}").varies == (bgr,)
        assert not config.measure(name).varies


def test_a_configuration_that_is_changed_keeps_its_objects() -> None:
    config = replace(EvaluateConfig(exploiters=(BGR,), archs=(Shallow,)), seeds=(1, 2))
    assert (config.exploiters, config.archs, len(config.plugins)) == (("bgr",), ("Shallow",), 1)
    again = replace(config, exploiters=(BGR, "gray"))
    assert (again.exploiters, len(again.plugins)) == (("bgr", "gray"), 1)
    with pytest.raises(UsageError, match="take jobs=1, or a plugin in a file"):
        replace(config, jobs=2)


def test_an_attack_by_value_keeps_its_steps() -> None:
    config = EvaluateConfig(exploiters=("at-8", find_exploiter("at", attack_steps=3)), attack_steps=5)
    assert config.exploiters == ("at-8", "own-at-8")
    attacks = [config.measure(name).attack for name in config.exploiters]
    assert [one.steps for one in attacks if isinstance(one, Pgd)] == [5, 3]


@pytest.mark.parametrize("what", ["exploiters", "archs", "defenders"])
def test_what_is_neither_a_name_nor_an_object_is_refused(what: str) -> None:
    with pytest.raises(UsageError, match=f"{what} holds a int; each has to be a name or a"):
        EvaluateConfig(**{what: (3,)})


def test_names_alone_need_no_plugin() -> None:
    found = named(["gray"], ["mlp"], ["noise"], known=SHIPPED, attack_steps=7)
    assert (found.exploiters, found.archs, found.defenders, found.plugin) == (
        *(("gray",), ("mlp",), ("noise",)),
        None,
    )


def test_nets_are_built_with_what_they_have_parameters_for() -> None:
    asked = {"channels": 3, "classes": 4}
    assert built(Shallow, **asked).head.out_features == 4
    assert built(lambda: Shallow(7), **asked).head.out_features == 7
    assert built(lambda classes, channels: nn.Linear(channels, classes), **asked).out_features == 4
    assert built(lambda **given: nn.Linear(given["channels"], given["classes"]), **asked).in_features == 3


def test_objects_are_trained(tiny) -> None:
    """By value as by name: an exploiter of the registry under another name gives the very same figures."""
    common = {"dataset": "shapes", "controls": False, "defenders": (dark,), "threads": 1}
    again = find_exploiter("gray")
    own = api.evaluate(exploiters=(replace(again, name="mine"), "gray"), archs=(Shallow,), **common)
    mine, gray = own.records
    assert (mine.arm.exploiter, gray.arm.exploiter, mine.arm.arch, mine.arm.poison) == (
        *("mine", "gray"),
        *("Shallow", "dark"),
    )
    assert mine.test_accuracies == gray.test_accuracies and mine.recalls == gray.recalls
    assert mine.audit is not None and mine.audit["max_change"] == 3


def test_a_module_is_copied_for_each_training(tiny) -> None:
    torch.manual_seed(0)
    module = Shallow(10)
    before = module.head.weight.detach().clone()
    config = EvaluateConfig(
        dataset="shapes", archs=(module,), exploiters=("standard",), defenders=("noise",), controls=False
    )
    first = evaluate(config).records
    assert torch.equal(module.head.weight, before)
    assert evaluate(config).records[0].test_accuracies == first[0].test_accuracies


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Linear(3, 3), r"net 'Linear' can't judge images \(2, 3, 32, 32\) of 10 classes \(RuntimeError"),
        (Shallow(9), r"net 'Shallow' returned \(2, 9\) for 2 images, not logits \(2, 10\)"),
        (Shallow(10).requires_grad_(False), "net 'Shallow' has nothing that can be trained"),
        (lambda: 3, r"net 'net' can't judge images"),
    ],
)
def test_a_net_that_does_not_fit_is_refused_before_any_work(
    net: object, words: str, tiny, monkeypatch
) -> None:
    monkeypatch.setattr(
        "ulecli.evaluation.training_sets.defend", lambda *_, **__: pytest.fail("a defender worked")
    )
    with pytest.raises(UsageError, match=words):
        evaluate(EvaluateConfig(dataset="shapes", archs=(net,), exploiters=("standard",)))

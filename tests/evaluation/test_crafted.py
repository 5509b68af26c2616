from __future__ import annotations

import pytest

from ulecli.data.shapes import shapes
from ulecli.errors import UsageError
from ulecli.evaluation.crafted import METHOD_OF, identity
from ulecli.evaluation.defenders import DEFENDERS, defend, find_defender
from ulecli.evaluation.order import Order


def test_loops_are_called_after_the_algorithm_and_have_a_classwise_form() -> None:
    assert METHOD_OF["bilevel-uleo-grayaugs"] == "uleo-grayaugs" and METHOD_OF["advpois"] == "advpois"
    for name, method in METHOD_OF.items():
        assert name in DEFENDERS
        assert (f"{name}-classwise" in DEFENDERS) is (method not in ("advpois", "error-max"))


def test_a_net_may_be_named() -> None:
    assert find_defender("bilevel-uleo@mlp").words == DEFENDERS["bilevel-uleo"].words
    assert identity("bilevel-uleo", "mlp") != identity("bilevel-uleo", "")
    for name in ("bilevel-uleo@none", "advpois@mlp-classwise", "bilevel-ule"):
        with pytest.raises(UsageError):
            find_defender(name)


def test_the_chosen_images_are_crafted_and_remarks_come_back() -> None:
    images = shapes(200)
    chosen = images.labels.argsort(stable=True)[::2].sort().values
    remarks: list[str] = []
    reported = []
    made = defend(
        "bilevel-uleo@linear",
        images,
        chosen=chosen,
        progress=lambda what, done, total: reported.append((what, done, total)),
        remarks=remarks,
    )
    assert len(made) == 100 and made.labels.equal(images.labels[chosen])
    change = (made.images.int() - images.images[chosen]).abs()
    assert change.max() == 8 and (change.flatten(1).amax(1) == 8).all()
    assert reported[0] == ("round 1 of at most 50", 100, 100)
    assert bool(remarks) is (len({what for what, _, _ in reported}) == 50)  # then it has not converged
    assert Order(chosen, 8, 0, "cpu").remarks == []

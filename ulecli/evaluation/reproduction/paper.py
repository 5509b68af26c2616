"""What 'Going Grayscale' (Liu et al., 2021) reports, as data, and how each figure is measured here.

Values are those that the paper prints. Its ResNet-18 is named "" here: its place is taken by the net of the
preset, which is ResNet-18 in preset paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

Value = float | tuple[float, float] | None
"""An accuracy or a difference in percent, with its standard deviation; None where none is printed."""

Mix = tuple[int, int]
"""Percent of the training set that stays clean, and percent that is added."""

RESNET, DENSENET, VGG, MLP = "resnet18", "densenet121", "vgg11", "mlp"

PHOTO_RESNET = "torchvision-resnet18"
"""ResNet-18 for photos, which shrinks them first."""


@dataclass(frozen=True)
class Treatment:
    """What is done to the training images, in the paper's words.

    Attributes:
        method: "Clean", "Clean share" (the clean images of a mix alone) or the name of a method.
        surrogate: The net that the method uses; "" for its own.
        classwise: One perturbation for all images of a class.
    """

    method: str
    surrogate: str = ""
    classwise: bool = False


CLEAN, SHARE = Treatment("Clean"), Treatment("Clean share")
ULEO, AUGS = Treatment("ULEOs"), Treatment("ULEO-Augs")
GRAYS, GRAY_AUGS = Treatment("ULEO-Grays"), Treatment("ULEO-GrayAugs")
OF_MLP, ADVPOIS = Treatment("ULEOs of an MLP"), Treatment("AdvPois")


@dataclass(frozen=True)
class Training:
    """All trainings that differ by their seed alone.

    Attributes:
        treatment: What is done to the training images.
        exploiter: Name of the exploiter, as `ulecli evaluate` knows it.
        net: Name of its net; "" for that of the preset.
        mix: Where clean images and others are mixed.
        photos: On a folder of photos at the paper's bound for them, instead of CIFAR-10.
    """

    treatment: Treatment
    exploiter: str = "standard"
    net: str = ""
    mix: Mix | None = None
    photos: bool = False


@dataclass(frozen=True)
class PaperCell:
    """One figure of the paper.

    Attributes:
        row: Name of its row.
        column: Name of its column.
        training: What has to be trained for it.
        paper: What the paper prints; None where it prints no figure.
        spread: Standard deviation over the paper's runs; None where it prints none.
        measure: "last" and "peak" are accuracies after the last and the best epoch; others are attacks.
        beside: What its accuracy is a difference from; None for an accuracy.
    """

    row: str
    column: str
    training: Training
    paper: float | None
    spread: float | None = None
    measure: str = "last"
    beside: Training | None = None


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, or a figure with learning curves.

    Attributes:
        name: As it is asked for: "table2".
        title: What it shows.
        cells: Row by row.
        curves: Whether it is a figure, of which the learning curves are drawn.
    """

    name: str
    title: str
    cells: tuple[PaperCell, ...]
    curves: bool = False


def _grid(
    rows: Mapping[str, Treatment], columns: Mapping[str, Training], values: Sequence[Sequence[Value]]
) -> tuple[PaperCell, ...]:
    """Return the cells of a table: each row's treatment in each column's training."""
    return tuple(
        _cell(row, column, replace(training, treatment=treatment), value)
        for (row, treatment), line in zip(rows.items(), values, strict=True)
        for (column, training), value in zip(columns.items(), line, strict=True)
    )


def _cell(row: str, column: str, training: Training, value: Value, measure: str = "last") -> PaperCell:
    paper, spread = value if isinstance(value, tuple) else (value, None)
    return PaperCell(row, column, training, paper, spread, measure)


def _by(exploiter: str, net: str = "") -> Training:
    return Training(CLEAN, exploiter, net)


_GRAY_OR_NOT = {"w/o Gray": _by("standard"), "w/ Gray": _by("gray")}

_NETS = {"RN-18": "", "DN-121": DENSENET, "VN-11": VGG}

_TABLE1 = _grid(
    {"Clean": CLEAN, "ULEOs": ULEO},
    {
        "w/o": _by("standard"),
        "Mixup": _by("mixup"),
        "BDR-2": _by("bdr-2"),
        "AT": _by("at-8"),
        "Gray": _by("gray"),
    },
    [(94.58, 93.32, 89.12, 85.30, 93.04), (24.47, 51.01, 41.65, 84.75, 90.06)],
)

_TABLE2 = _grid(
    {"Clean": CLEAN, "ULEOs": ULEO, "ULEO-Augs": AUGS, "ULEO-Grays": GRAYS, "ULEO-GrayAugs": GRAY_AUGS},
    _GRAY_OR_NOT,
    [
        (94.58, 93.04),
        ((24.47, 4.41), (90.06, 3.51)),
        ((23.42, 7.48), (91.47, 1.85)),
        ((43.34, 11.49), (44.67, 10.47)),
        ((25.98, 7.38), (24.98, 5.84)),
    ],
)

_TABLE3 = _grid(
    {name: replace(GRAY_AUGS, surrogate=net) for name, net in _NETS.items()},
    {
        f"{name}{words}": _by(exploiter, net)
        for name, net in _NETS.items()
        for words, exploiter in (("", "standard"), (", gray", "gray"))
    },
    [
        (28.35, 28.97, 25.13, 23.99, 33.07, 28.78),
        (28.85, 30.01, 28.94, 25.79, 30.80, 25.00),
        (11.47, 11.14, 14.28, 13.26, 14.50, 13.23),
    ],
)

_TABLE5 = _grid(
    {
        "Clean": CLEAN,
        "ULEOs, class-wise": replace(ULEO, classwise=True),
        "ULEO-GrayAugs, class-wise": replace(GRAY_AUGS, classwise=True),
        "ULEOs (section 5.5)": ULEO,
    },
    {name: replace(training, photos=True) for name, training in _GRAY_OR_NOT.items()},
    [(59.66, 58.18), (4.88, 8.52), (7.04, 6.46), (None, None)],
)

_TABLE6 = _grid(
    {"Clean": CLEAN, "ULEOs of an MLP": OF_MLP},
    {"MLP": _by("standard", MLP), **{name: _by("standard", net) for name, net in _NETS.items()}},
    [(48.66, 94.58, 95.19, 91.66), (47.50, 21.55, 15.84, 81.88)],
)

_TABLE7 = tuple(
    _cell(row, column, Training(treatment, "at-8"), value, measure)
    for row, treatment, values in (
        ("Clean", CLEAN, (85.30, 54.01, 46.59)),
        ("ULEOs", ULEO, (84.75, 52.42, 40.34)),
        ("ULEO-GrayAugs", GRAY_AUGS, (84.38, 53.07, 43.80)),
    )
    for (column, measure), value in zip(
        {"Clean": "last", "FGSM": "fgsm", "PGD": "pgd-20"}.items(), values, strict=True
    )
)

_TABLE8 = _grid(
    {"Clean": CLEAN, "ULEOs": ULEO},
    {"w/o": _by("standard"), "BDR-2": _by("bdr-2"), "BDR-4": _by("bdr-4"), "BDR-6": _by("bdr-6")},
    [(94.58, 89.12, 93.98, 94.48), (24.40, 47.10, 22.92, 21.39)],
)


def _mixed(
    own: int, exploiters: Mapping[str, tuple[float, Sequence[tuple[int, float, float, float]]]]
) -> Iterator[PaperCell]:
    """Yield the cells of a table of mixes.

    Args:
        own: Percent of the training set that is clean in all of them.
        exploiters: For each, the accuracy of these alone; then the percent that are added, the accuracy where
            they are clean, and the differences from it where they are ULEOs and ULEO-GrayAugs.
    """
    for exploiter, (alone, added) in exploiters.items():
        words = ", gray" if exploiter == "gray" else ""
        largest: Mix = (own, added[-1][0])
        yield _cell(f"{own}% alone{words}", "Clean", Training(SHARE, exploiter, mix=largest), alone)
        for percent, *values in added:
            clean = Training(CLEAN, exploiter, mix=(own, percent))
            row = f"{own}% + {percent}%{words}"
            yield _cell(row, "Clean", clean, values[0])
            for treatment, value in zip((ULEO, GRAY_AUGS), values[1:], strict=True):
                one = _cell(row, treatment.method, replace(clean, treatment=treatment), value)
                yield replace(one, beside=clean)


_TABLE4 = tuple(
    _mixed(
        5,
        {
            "standard": (63.89, [(10, 80.83, -13.55, -4.61), (30, 89.26, -22.12, -10.48)]),
            "gray": (61.99, [(10, 81.61, -1.54, -6.11), (30, 87.95, -0.54, -15.84)]),
        },
    )
)

_TABLE9 = tuple(
    _mixed(
        10,
        {
            "standard": (73.48, [(10, 83.30, -3.64, -1.23), (30, 89.85, -11.22, -5.61)]),
            "gray": (74.23, [(10, 82.72, -0.05, -2.30), (30, 88.46, -0.18, -7.56)]),
        },
    )
)


def _curves(rows: Sequence[Treatment], columns: Mapping[str, Training]) -> tuple[PaperCell, ...]:
    """Return the ends and best points of learning curves, which the paper draws without figures."""
    return tuple(
        _cell(treatment.method, f"{column}{words}", replace(training, treatment=treatment), None, measure)
        for treatment in rows
        for column, training in columns.items()
        for words, measure in (("", "last"), (", best epoch", "peak"))
    )


TABLES: Mapping[str, PaperTable] = MappingProxyType(
    {
        one.name: one
        for one in (
            PaperTable("table1", "Accuracy on CIFAR-10 with ways to mitigate ULEOs", _TABLE1),
            PaperTable(
                "table2", "Accuracy of the standard and the gray exploiter on the forms of ULEs", _TABLE2
            ),
            PaperTable("table3", "Transfer of ULEO-GrayAugs from nets (rows) to nets (columns)", _TABLE3),
            PaperTable("table4", "ULEs added to a clean share of 5 %", _TABLE4),
            PaperTable("table5", "An ImageNet subset at epsilon 16", _TABLE5),
            PaperTable("table6", "ULEOs that were made with an MLP", _TABLE6),
            PaperTable("table7", "Adversarial training: clean and robust accuracy", _TABLE7),
            PaperTable("table8", "Bit-depth reduction to 2, 4 and 6 bits", _TABLE8),
            PaperTable("table9", "ULEs added to a clean share of 10 %", _TABLE9),
            PaperTable(
                "figure3",
                "Learning curves on clean images, ULEOs and AdvPois",
                _curves((CLEAN, ULEO, ADVPOIS), _GRAY_OR_NOT),
                curves=True,
            ),
            PaperTable(
                "figure4",
                "Learning curves of the gray exploiter on clean images, ULEOs and ULEO-GrayAugs",
                _curves((CLEAN, ULEO, GRAY_AUGS), {"w/ Gray": _by("gray")}),
                curves=True,
            ),
            PaperTable(
                "figure6",
                "Learning curves of convolutional nets on ULEOs of an MLP",
                _curves((OF_MLP,), {name: _by("standard", net) for name, net in _NETS.items()}),
                curves=True,
            ),
        )
    }
)
"""The tables and figures by name, in the order in which they are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.results_of import run

from ulecli.evaluation.results.verdict import sentence, withheld


def runs(exploiter="standard", *, chance_classes=4, **figures):
    """A run for each poison: its accuracy, or the pair of accuracy and peak."""
    classes = tuple(str(number) for number in range(chance_classes))
    reported = []
    for poison, figure in figures.items():
        last, peak = figure if isinstance(figure, tuple) else (figure, figure)
        reported.append(run(poison, exploiter, test_accuracies=(0, peak, last), classes=classes))
    return reported


@pytest.mark.parametrize(
    ("reported", "said"),
    [
        (
            runs("gray", chance_classes=10, clean=91, noise=86.2, protected=24.1),
            "The gray exploiter recognises 24.1 % of the clean test images after training on protected "
            "images (clean 91.0 %, random noise 86.2 %, guessing 10.0 %): protected against gray.",
        ),
        (
            runs("jpeg-10", chance_classes=10, clean=72.5, cifar=73.3),
            "The jpeg-10 exploiter recognises 73.3 % of the clean test images after training on images with "
            "the poison cifar (clean 72.5 %, guessing 10.0 %): not protected against jpeg-10.",
        ),
        (
            [
                *runs(clean=85, cifar=30),
                *runs("jpeg-10", clean=75, cifar=74),
                *runs("gray", clean=85, cifar=31),
            ],
            "The best of 3 exploiters, jpeg-10, recognises 74.0 % of the clean test images after training on "
            "images with the poison cifar (clean 75.0 %, guessing 25.0 %): "
            "protected against standard and gray, not protected against jpeg-10.",
        ),
        (
            [*runs(clean=85, cifar=30, other=29), *runs("gray", clean=85, cifar=31, other=80)],
            "Of 2 poisons cifar protects best: the best of 2 exploiters, gray, recognises 31.0 % of the "
            "clean test images after training on images with the poison cifar (clean 85.0 %, guessing 25.0 "
            "%): protected against all of them.",
        ),
        (
            [*runs(clean=85, cifar=80), *runs("gray", clean=85, cifar=81)],
            "The best of 2 exploiters, gray, recognises 81.0 % of the clean test images after training on "
            "images with the poison cifar (clean 85.0 %, guessing 25.0 %): not protected against any of "
            "them.",
        ),
        (
            runs(cifar=30, noise=80),
            "The standard exploiter recognises 30.0 % of the clean test images after training on images with "
            "the poison cifar (no clean control, random noise 80.0 %, guessing 25.0 %): "
            "without a clean control nothing follows from that.",
        ),
        (
            runs(clean=40, cifar=25),
            "The standard exploiter recognises 25.0 % of the clean test images after training on images with "
            "the poison cifar (clean 40.0 %, guessing 25.0 %): "
            "nothing follows from that, since little was learned from clean images either.",
        ),
        (
            [*runs(clean=85, cifar=30), *runs("gray", cifar=50)],
            "The best of 2 exploiters, gray, recognises 50.0 % of the clean test images after training on "
            "images with the poison cifar (no clean control, guessing 25.0 %): protected against standard, "
            "not judged, for want of a clean control that learns, against gray.",
        ),
        (
            runs(clean=85, noise=50, cifar=52),
            "The standard exploiter recognises 52.0 % of the clean test images after training on images with "
            "the poison cifar (clean 85.0 %, random noise 50.0 %, guessing 25.0 %): "
            "partly protected against standard; random noise of the same strength does as much.",
        ),
        (
            [*runs(clean=85, noise=50, protected=52), run("noise-mean", test_accuracies=(0, 60, 60))],
            "The standard exploiter recognises 52.0 % of the clean test images after training on protected "
            "images (clean 85.0 %, random noise of equal mean change 60.0 %, guessing 25.0 %): "
            "partly protected against standard.",
        ),
        (
            [*runs(clean=85, noise=60, protected=52), run("noise-mean", test_accuracies=(0, 50, 50))],
            "The standard exploiter recognises 52.0 % of the clean test images after training on protected "
            "images (clean 85.0 %, random noise of equal mean change 50.0 %, guessing 25.0 %): "
            "partly protected against standard; random noise of equal mean change does as much.",
        ),
        (
            runs(clean=85, cifar=(30, 60)),
            "The standard exploiter recognises 30.0 % of the clean test images after training on images with "
            "the poison cifar (clean 85.0 %, guessing 25.0 %): protected against standard; "
            "at its best epoch, which needs clean validation images, it was 60.0 %.",
        ),
        (
            [run("clean", test_accuracies=(0, 0, 85)), run(
                "cifar", test_accuracies=(60, 55, 30), validation_accuracies=(40, 41, 30), n_validation=20
            )],
            "The standard exploiter recognises 30.0 % of the clean test images after training on images with "
            "the poison cifar (clean 85.0 %, guessing 25.0 %): protected against standard; "
            "stopped early, as its clean validation images say, it was 55.0 %.",
        ),
        (
            runs(clean=85, noise=80),
            "No protected images were tried, so this says nothing about a protection.",
        ),
        ([], "There are no results."),
    ],
)  # fmt: skip
def test_sentence(reported, said):
    assert sentence(reported) == said


@pytest.mark.parametrize(
    ("protected", "verdict"),
    [
        (25, "protected"),
        (40, "protected"),  # exactly 75 % of the margin of 60 points
        (40.1, "partly protected"),
        (70, "partly protected"),  # exactly 25 %
        (70.1, "not protected"),
        (85, "not protected"),
        (95, "not protected"),
        (10, "protected"),  # below guessing
    ],
)
def test_thresholds(protected, verdict):
    assert sentence(runs(clean=85, cifar=protected)).endswith(f": {verdict} against standard.")


@pytest.mark.parametrize(("clean", "judged"), [(43.75, True), (43.7, False)])
def test_a_control_must_have_learned(clean, judged):
    assert ("nothing follows" not in sentence(runs(clean=clean, cifar=25))) is judged


def test_seeds_are_averaged():
    reported = [run("clean", last=85), run("cifar", last=30, seed=0), run("cifar", last=36, seed=1)]
    assert "recognises 33.0 %" in sentence(reported)


def test_nets_are_named_where_there_are_several():
    reported = [
        run(poison, last=last, arch=arch) for poison, last in (("clean", 85), ("cifar", 30)) for arch in "ab"
    ]
    assert "The best of 2 exploiters, standard/a," in sentence(reported)


def test_one_class_protected_is_judged_by_its_recall():
    reported = [
        run("clean", recalls=(90, 80, 70, 60)),
        run("noise", recalls=(90, 78, 70, 60)),
        run("protected ring", last=70, recalls=(91, 3, 70, 61)),
    ]
    assert sentence(reported, ["ring"]) == (
        "The standard exploiter recognises 3.0 % of the clean test images of ring after training on "
        "images of which only this class is protected (clean 80.0 %, random noise 78.0 %, guessing 25.0 "
        "%): protected against standard."
    )  # fmt: skip
    half = replace(reported[2], audit={"share": 0.5})
    assert "images of which only 50 % of this class is protected" in sentence([*reported[:2], half], ["ring"])
    both = sentence(reported, ["disc", "ring"])
    assert "recognises 47.0 % of the clean test images of disc and ring" in both
    assert "images of which only these classes are protected" in both
    assert sentence([*reported, run("cifar", last=1)], ["ring"]) == sentence(
        reported, ["ring"]
    )  # no recall measured
    assert sentence([run()], ["ring"]) == "There are no results."


def test_a_poison_that_met_few_exploiters_is_not_the_best():
    reported = [*runs(clean=85, cifar=50, other=26), *runs("gray", clean=85, cifar=50)]
    assert "cifar protects best" in sentence(reported)


def test_each_data_set_has_its_sentence():
    reported = [run(dataset="a"), run("cifar", last=20, dataset="a"), run(dataset="b")]
    text = sentence(reported)
    assert text.startswith("a: The standard") and text.endswith(
        " b: No protected images were tried, so this says nothing about a protection."
    )


def test_a_name_can_not_break_the_line():
    assert sentence([run(), run("x\ny", last=20)]).isprintable()


def mixed(share, clean, poison, *, share_train=99.0, poison_train=99.0):
    return [
        run("clean-share", last=share, n_train=250, train_accuracies=(0, 0, share_train)),
        run("clean", last=clean, n_train=750),
        run("x", last=poison, n_train=750, train_accuracies=(0, 0, poison_train)),
    ]


@pytest.mark.parametrize(
    ("poison", "verdict"),
    [
        (53.5, "protected"),
        (59.5, "protected"),
        (60, "partly protected"),
        (67, "partly protected"),
        (68, "not protected"),
    ],
)
def test_a_mix_is_judged_between_the_clean_share_and_as_much_clean_data(poison, verdict):
    assert sentence(mixed(55.5, 71.5, poison)) == (
        f"The standard exploiter recognises {poison:.1f} % of the clean test images after training on clean "
        "images and images with the poison x (as much clean data 71.5 %, the clean share alone 55.5 %, "
        f"guessing 25.0 %): {verdict} against standard."
    )  # fmt: skip


def test_clean_data_that_adds_nothing_can_not_be_protected():
    assert sentence(mixed(68, 71.5, 60)).endswith(
        "nothing follows from that, since as much clean data adds no more than 3.5 points either."
    )


def test_a_third_of_a_mix_must_be_learned():
    # Guessing is 25 %: the clean third alone would give 25 + 74 / 3 %, of which a half is asked for.
    assert withheld(mixed(55.5, 71.5, 53.5, poison_train=37.4)) == []
    (line,) = withheld(mixed(55.5, 71.5, 53.5, poison_train=37.3))
    assert (
        "37.3 % of its own training images right where the clean ones among them alone would give 49.7 %"
        in line
    )


def test_a_training_that_learned_nothing_is_no_protection():
    failed = run("own", last=12, train_accuracies=(10, 15, 20))
    text = sentence([run("clean", last=85), failed])
    assert text.endswith(
        "guessing 25.0 %): no verdict against standard, since it gets no more than 20.0 % of its own "
        "training images right where clean images give 99.0 %, so it learned nothing that could be protected."
    )
    assert "protected against" not in text
    assert withheld([run("clean", last=85), failed])[0].startswith("own: it gets no more than 20.0 %")
    fitted = replace(failed, train_accuracies=(10, 40, 62))  # half of what clean images give above guessing
    assert sentence([run("clean", last=85), fitted]).endswith(": protected against standard.")
    assert withheld([run("clean", last=85), fitted]) == []


def test_who_recognises_clean_images_has_learned_whatever_the_training_accuracy():
    heavy = run("x", last=84, train_accuracies=(10, 20, 30))
    assert sentence([run("clean", last=85), heavy]).endswith(": not protected against standard.")


@pytest.mark.parametrize(
    ("audit", "reason"),
    [
        ({"misplaced": 0.9}, "90% of the compared images were made from others than those in their place"),
        ({"labels_differ": 0.34}, "34% of its labels are not those of the data set"),
    ],
)
@pytest.mark.parametrize("last", [12, 84])
def test_wrong_order_and_labels_leave_no_verdict(audit, reason, last):
    wrong = run("x", last=last, audit=audit)
    assert sentence([run("clean", last=85), wrong]).endswith(f"no verdict against standard, since {reason}.")
    assert withheld([run("clean", last=85), wrong]) == [f"x: {reason}"]
    right = run("x", last=last, audit={"misplaced": 0.1, "labels_differ": 0.01})
    assert withheld([run("clean", last=85), right]) == []


def test_a_poison_without_verdict_is_not_the_best():
    reported = [
        *runs(clean=85, cifar=50),
        *runs("gray", clean=85, cifar=60),
        run("own", last=12, audit={"labels_differ": 1.0}),
        run("own", "gray", last=12, audit={"labels_differ": 1.0}),
    ]
    text = sentence(reported)
    assert text.startswith(
        "Of 2 poisons cifar protects best: the best of 2 exploiters, gray, recognises 60.0 %"
    )
    assert text.endswith("No verdict on own: 100% of its labels are not those of the data set.")
    text = sentence(
        [one for one in reported if one.arm.poison != "cifar"] + [run("own2", last=9, audit={"misplaced": 1})]
    )
    assert "no verdict against any of them" in text


def test_one_exploiter_that_failed_does_not_hide_the_others():
    reported = [
        *runs(clean=85, cifar=50),
        run("clean", "gray"),
        run("cifar", "gray", last=12, train_accuracies=(0, 0, 25)),
    ]
    text = sentence(reported)
    assert (
        "partly protected against standard, no verdict against gray, since it gets no more than 25.0 %"
        in text
    )
    assert "(gray)" in text and "(gray)" in withheld(reported)[0]


def test_without_a_control_there_is_nothing_to_withhold():
    assert withheld([run("x", last=12, train_accuracies=(0, 0, 1), audit={"misplaced": 1.0})]) == []


def test_images_that_stay_clean_are_mentioned():
    half = run("x", last=80, audit={"changed_share": 0.5})
    assert sentence([run("clean", last=85), half]).endswith(
        ": not protected against standard; 50% of the images it was trained on are clean."
    )
    assert "clean." not in sentence([run("clean", last=85), replace(half, audit={"changed_share": 0.995})])

from __future__ import annotations

from statistics import stdev

import pytest
from helpers.results_of import run

from ulecli.evaluation.results.each import (
    by_treatment,
    is_below,
    is_chance,
    rows,
    treatment_of,
    turns,
    verdicts,
)
from ulecli.evaluation.results.record import RunRecord

CLASSES = ("ada", "bo", "cy lee")


def turn(poison: str, recalls: tuple[float, ...], **other: object) -> RunRecord:
    return run(poison, recalls=recalls, classes=CLASSES, **other)


def runs(seed: int = 0, shift: float = 0, **other: object) -> list[RunRecord]:
    """One seed: clean, and each class once with band noise and once protected."""
    seen = {"ssimulacra2": 60.0}
    return [
        turn("clean", (90, 80, 70), seed=seed, **other),
        turn("band-10-30 ada", (60 + shift, 80, 70), seed=seed, audit=seen, **other),
        turn("protected ada", (30 + shift, 82, 72), seed=seed, audit=seen, **other),
        turn("band-10-30 bo", (90, 50, 70), seed=seed, audit={"ssimulacra2": 50.0}, **other),
        turn("protected bo", (92, 60, 70), seed=seed, audit={"ssimulacra2": 51.0}, **other),
        turn("band-10-30 cy lee", (90, 80, 40), seed=seed, audit=seen, **other),
        turn("protected cy lee", (90, 80, 0), seed=seed, audit=seen, **other),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clean", ("clean", "")),
        ("protected", ("protected", "")),
        ("protected ada", ("protected", "ada")),
        ("noise-mean cy lee", ("noise-mean", "cy lee")),
        ("protected dora", ("protected dora", "")),
        ("mine ada", ("mine ada", "")),
    ],
)
def test_names_say_what_was_done_to_whom(name: str, expected: tuple[str, str]) -> None:
    assert treatment_of(name, CLASSES) == expected


def test_a_turn_is_compared_with_the_clean_training_of_its_seed() -> None:
    reported = [*runs(), turn("clean", (50, 50, 50), seed=1), turn("protected bo", (45, 10, 40), seed=1)]
    found = {(one.treatment, one.identity, one.seed): one for one in turns(reported)}
    first, second = found["protected", "ada", 0], found["protected", "bo", 1]
    assert (first.recall, first.clean, first.others, first.score) == (30, 90, 2, 60)
    assert (second.recall, second.clean, second.others, second.score) == (10, 50, -7.5, None)
    assert len(found) == 7


def test_other_exploiters_are_other_settings() -> None:
    reported = [*runs(), *runs(exploiter="gray")[1:]]  # without a clean control
    standard, gray = (
        [row for row in rows(turns(reported)) if row.setting.exploiter == name]
        for name in ("standard", "gray")
    )
    assert (
        [row.treatment for row in standard] == ["band-10-30", "protected"] == [one.treatment for one in gray]
    )
    assert standard[1].clean is not None and standard[1].clean.mean == 80
    assert gray[1].clean is None and gray[1].others is None and gray[1].kept is None
    assert gray[1].recall == standard[1].recall


def test_means_are_over_classes_and_spreads_over_seeds() -> None:
    (_, row) = rows(turns([*runs(), *runs(1, shift=15)]))
    assert row.recalls["ada"].mean == 37.5 and row.recalls["ada"].n == 2
    assert (row.recall.mean, row.recall.n) == (32.5, 2)
    assert row.recall.std == pytest.approx(stdev((30, 35)))
    assert row.worst == "bo" and row.kept == pytest.approx(100 * 32.5 / 80)
    assert row.others is not None and row.others.mean == pytest.approx((2 + 1 + 0) / 3)
    assert row.score == pytest.approx((60 + 51 + 60) / 3)


def test_no_row_is_below_what_it_does_not_beat_on_average() -> None:
    noise, protected = rows(turns(runs()))
    assert is_below(protected, [noise]) and is_below(protected, []) is None
    assert not is_below(noise, [protected]) and not is_below(noise, [noise])
    assert not is_below(protected, [noise, protected])


@pytest.mark.parametrize(("photos", "doubtful"), [(20, True), (2000, False)])
def test_few_test_photos_leave_doubt(photos: int, doubtful: bool) -> None:
    noise, protected = rows(turns(runs(n_test=photos)))  # 30 against 50 %
    assert is_chance(protected, [noise]) is doubtful
    (line,) = verdicts([noise, protected])
    assert ("by chance" in line) is doubtful


def test_the_verdict_names_the_control_to_beat() -> None:
    (line,) = verdicts(rows(turns(runs(n_test=900))))
    assert line == (
        "Of the one class that is protected, each of 3 in turn, the standard exploiter recognises 30.0 % of "
        "the clean test photos on average (clean 80.0 %, worst bo 60.0 %, the others change by +1.0 points): "
        "below band noise that is as plain to see (band-10-30 50.0 %)."
    )
    worse = [*runs(n_test=900)[:3], turn("band-24-56 ada", (5, 80, 70), n_test=900)]
    (line,) = verdicts(rows(turns(worse)))
    assert "NOT below band noise" in line and "band-10-30 60.0 %, band-24-56 5.0 %" in line
    (line,) = verdicts(rows(turns([runs()[0], runs()[2]])))
    assert line.endswith("not compared with band noise that is as plain to see.")
    both = verdicts(rows(turns([*runs(), *runs(arch="large"), *runs(exploiter="gray")])))
    assert [line.split(" the ")[2].split(" ")[0] for line in both] == [
        "standard/tiny",
        "standard/large",
        "gray/tiny",
    ]
    assert verdicts([]) == ["No protected images were tried, so this says nothing about a protection."]


def test_a_share_is_named() -> None:
    audit = {"ssimulacra2": 60.0, "share": 0.5}
    (line,) = verdicts(rows(turns([turn("protected ada", (30, 80, 70), audit=audit)])))
    assert line.startswith("Of the one class of whose photos 50 % are protected, each of 1 in turn,")


def test_records_are_renamed_by_treatment() -> None:
    names = [one.arm.poison for one in by_treatment(runs())]
    assert names == ["clean", *["band-10-30", "protected"] * 3]
    assert turns([turn("clean", ()), turn("protected ada", ())]) == []


def test_nothing_follows_where_clean_photos_were_not_learned() -> None:
    reported = [turn("clean", (60, 40, 20)), turn("protected ada", (30, 40, 30))]
    reported += [turn("protected bo", (60, 40, 30)), turn("protected cy lee", (60, 40, 30))]
    (line,) = verdicts(rows(turns(reported)))
    assert line.endswith("nothing follows from that, since little was learned from clean photos either.")

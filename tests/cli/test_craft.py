from __future__ import annotations

from pathlib import Path

import pytest

QUICK = ("--surrogate", "linear", "--rounds", "1", "--training-steps", "1", "--steps", "2")


def test_a_poison_is_made_and_read_by_evaluate(tmp_path: Path, ulecli) -> None:
    done = ulecli("craft", "shapes", *QUICK, "-o", tmp_path / "poison.npy")
    assert done.code == 0, done.err
    assert "round 1" in done.err and "still errs" in done.err and "evaluate --poison" in done.err
    assert done.err.endswith(" --dataset shapes\n")
    audit = ulecli("evaluate", "--dataset", "shapes", "--audit", "--poison", tmp_path / "poison.npy")
    assert audit.code == 0 and "by up to 8 levels" in audit.out


def test_quiet_says_nothing(tmp_path: Path, ulecli) -> None:
    done = ulecli("craft", "shapes", *QUICK, "-q", "-o", tmp_path / "poison.npy")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "name a data set"),
        (("shapes",), 2, "name a data set"),
        (("shapes", "-o", "out", "--eps", "99"), 2, "--eps is 99"),
        (("shapes", "-o", "out", "--method", "uleo-gray"), 2, "did you mean uleo-grays?"),
        (("shapes", "-o", "out", "--surrogate", "resnet"), 2, "no net 'resnet'"),
        (("shapes", "-o", "out.zip"), 2, ".safetensors"),
        (("shapes", "-o", "full"), 6, "already"),
        (("shapes", "-o", "full/file/out"), 6, "full/file"),
        (("shapes", "-o", "out", "--method", "advpois", "--as-published"), 2, "no bi-level loop"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch, ulecli, arguments, code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = ulecli("craft", *arguments)
    assert done.code == code and words in done.err, done.err
    assert len(done.err.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_list_names_methods_and_nets(ulecli) -> None:
    done = ulecli("craft", "--list")
    assert done.code == 0
    assert all(name in done.out for name in ("uleo-grayaugs", "advpois", "vgg11"))

from __future__ import annotations

import io
import sys
import threading
import time

import pytest
from helpers.results_of import run

from ulecli.cli.evaluate_progress import lines, listening

ARMS = [run("clean").arm, run("noise").arm, run("cifar").arm]


def test_a_line_for_each_part_that_is_done() -> None:
    written: list[str] = []
    with lines(written.append, silence=60) as listener:
        listener.starting(("clean", "noise", "cifar"), 4)
        listener.preparing("protecting", 500, 1000)
        listener.preparing("protecting", 1000, 1000)
        listener.planned(ARMS, [8, 8, 8])
        listener.remaining(400)
        listener.epoch(0, 1, 50.0)
        listener.remaining(300)
        listener.finished(0, run("clean", last=80))
        listener.remaining(100)
        listener.finished(1, run("noise", last=79))
        listener.finished(2, run("cifar", last=20))
    assert written == [
        "4 trainings, on images called clean, noise, cifar",
        "protecting: 1,000 of 1,000",
        "1 of them are done already, 3 are left",
        "0 of 3 trainings done, about 7 min left",
        "clean · standard · tiny · seed 0: last 80.0 %, peak 80.0 %, 2 s; 2 left, about 5 min",
        "noise · standard · tiny · seed 0: last 79.0 %, peak 79.0 %, 2 s; 1 left, about 2 min",
        "cifar · standard · tiny · seed 0: last 20.0 %, peak 20.0 %, 2 s",
    ]


def test_the_whole_time_is_written_before_and_while_defenders_work() -> None:
    written: list[str] = []
    works = [("training a surrogate cifar for 3 classes", 200.0), ("protecting 1,000 images by cifar", 20.0)]
    with lines(written.append, silence=60) as listener:
        listener.starting(("cifar",), 3)
        listener.expecting([*works, ("3 trainings", 7200.0)])
        listener.remaining(7300)
        listener.preparing("cifar: training", 1, 2)
        listener.remaining(7220)
        listener.preparing("cifar: training", 2, 2)
        listener.planned(ARMS, [8, 8, 8])
        listener.remaining(7000)
        listener.finished(0, run("clean", last=80))
    assert written == [
        "3 trainings, on images called cifar",
        "training a surrogate cifar for 3 classes: about 3 min; protecting 1,000 images by cifar: less than "
        "a minute; 3 trainings: about 2 h; in all about 2 h",
        "cifar: training: 2 of 2; about 2 h left in all",
        "clean · standard · tiny · seed 0: last 80.0 %, peak 80.0 %, 2 s; 2 left, about 2 h",
    ]


@pytest.mark.parametrize(
    ("works", "words"),
    [
        ([("2 trainings", 400.0)], ["2 trainings: about 7 min"]),
        (
            [("protecting by mine", None), ("2 trainings", 400.0)],
            ["and what is not known yet", "mine: not known"],
        ),
        ([("2 trainings", None)], ["2 trainings: not known yet"]),
        ([], []),
    ],
)
def test_what_is_not_known_is_not_guessed(works: list[tuple[str, float | None]], words: list[str]) -> None:
    written: list[str] = []
    with lines(written.append, silence=60) as listener:
        listener.expecting(works)
    assert len(written) == bool(works) and all(word in written[0] for word in words)


def test_while_defenders_work_no_silence_is_longer_than_agreed() -> None:
    written: list[str] = []
    said = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        if len(written) >= 4:
            said.set()

    with lines(write, silence=0.05) as listener:
        listener.starting(("cifar",), 1)
        listener.remaining(700)
        listener.preparing("cifar: protecting", 500, 1000)
        assert said.wait(20)
    assert written[2:4] == ["cifar: protecting: 500 of 1,000; about 12 min left in all"] * 2


def test_a_long_start_is_no_silence() -> None:
    written: list[str] = []
    said = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        said.set()

    with lines(write, silence=0.05) as listener:
        assert said.wait(20)
        listener.starting(("clean",), 1)
        said.clear()
        while "making" not in written[-1]:
            assert said.wait(20)
    assert written[0] == "reading the data set"
    assert written[-1] == "making the images that are trained on"


def test_no_silence_is_longer_than_agreed() -> None:
    written: list[str] = []
    said = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        if len(written) >= 5:
            said.set()

    with lines(write, silence=0.05) as listener:
        listener.starting(("clean",), 3)
        listener.planned(ARMS, [8, 8, 8])
        listener.remaining(150)
        assert said.wait(20)
    assert written[1:5] == ["0 of 3 trainings done, about 2 min left"] * 4
    count = len(written)
    time.sleep(0.2)
    assert len(written) == count  # the end is the end


def test_off_a_terminal_lines_go_to_stderr(capsys) -> None:
    with listening(quiet=False) as listener:
        assert listener is not None
        listener.starting(("clean", "cifar"), 2)
    reported = capsys.readouterr()
    assert (reported.out, reported.err) == ("", "2 trainings, on images called clean, cifar\n")


def test_quiet_is_quiet(capsys) -> None:
    with listening(quiet=True) as listener:
        assert listener is None
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_bars_and_keeps_lines(monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with listening(quiet=False) as listener:
        assert listener is not None
        listener.starting(("clean", "[bold]cifar"), 3)
        listener.expecting([("protecting", 60.0), ("3 trainings", 400.0)])
        listener.remaining(460)
        listener.preparing("protecting", 5, 10)
        listener._bars.refresh()
        listener.preparing("protecting", 10, 10)
        listener.preparing("uleo: taken from the cache", 50000, 50000)
        listener.planned(ARMS, [8, 8, 8])
        listener.epoch(0, 5, 50.0)  # which goes on from an earlier run
        listener.remaining(400)
        listener._bars.refresh()
        listener.finished(0, run("clean", last=80))
    shown = terminal.getvalue()
    assert "3 trainings, on images called clean, [bold]cifar" in shown
    assert "uleo: taken from the cache: 50,000 of 50,000" in shown
    assert "protecting: about 1 min; 3 trainings: about 7 min; in all about 8 min" in shown
    assert "about 8 min left in all" in shown and "5/24" in shown
    assert "about 7 min left" in shown and "3 trainings, epochs" in shown
    assert "clean · standard · tiny · seed 0: last 80.0 %, peak 80.0 %, 2 s" in shown

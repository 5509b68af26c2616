from __future__ import annotations

import io
import sys
import threading

import pytest

from ulecli.cli.work_progress import duration, reporting, work_lines


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (29, "less than a minute"),
        (31, "about 1 min"),
        (59 * 60, "about 59 min"),
        (60 * 60, "about 1 h"),
        (2 * 3600 + 8 * 60, "about 2 h 10 min"),
        (23 * 3600 + 57 * 60, "about 1.0 days"),
        (36 * 3600, "about 1.5 days"),
        (40 * 86400, "about 40 days"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_line_for_each_part_that_is_done() -> None:
    written: list[str] = []
    with work_lines("reading the data set", written.append, silence=60) as lines:
        for done in (10, 20, 1000):
            lines.step("training", done, 1000, f"loss {1 / done}")
        lines.note("protecting", 60, 60)
        lines.step("protecting", 30, 60)
    assert written == ["training: 1,000 of 1,000; loss 0.001"]


def test_no_silence_is_longer_than_agreed() -> None:
    written: list[str] = []
    said = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        said.set()

    def last(start: str) -> str:
        while not written[-1].startswith(start):
            said.clear()
            assert said.wait(20)
        return written[-1]

    with work_lines("reading the data set", write, silence=0.05) as lines:
        assert said.wait(20)
        lines.step("training", 1, 700, "loss 2.30")
        assert last("training") == "training: 1 of 700; loss 2.30"  # one report shows no pace
        lines.step("training", 2, 700, "loss 2.29")
        words = last("training: 2")
        assert words.startswith("training: 2 of 700; loss 2.29; ") and words.endswith(" left")
    assert written[0] == "reading the data set"
    count = len(written)
    said.clear()
    assert not said.wait(0.2) and len(written) == count  # the end is the end


def test_what_is_left_follows_from_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with work_lines("begun", lambda text: None, silence=1e6) as lines:
        lines.step("training", 100, 700)  # which an earlier run may have done
        now[0] += 120
        lines.step("training", 200, 700)
        assert lines.state == "training: 200 of 700; about 10 min left"
        lines.step("protecting", 0, 10)
        assert lines.state == "protecting: 0 of 10"


def test_off_a_terminal_lines_go_to_stderr(capsys) -> None:
    with reporting("reading the data set") as report:
        report("training", 1, 2)
        report("training", 2, 2, "right 90%")
    reported = capsys.readouterr()
    assert (reported.out, reported.err) == ("", "training: 2 of 2; right 90%\n")


def test_quiet_is_quiet(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    with reporting("reading the data set", quiet=True) as report:
        report("training", 2, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", None)
    with reporting("reading the data set") as report:
        report("training", 2, 2)


def test_a_terminal_shows_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with reporting("reading the data set") as report:
        report("training", 1, 2, "loss 2.30")
    assert "training: loss 2.30" in terminal.getvalue() and "50%" in terminal.getvalue()

from __future__ import annotations

import threading
from pathlib import Path

from ulecli.cli.protect_progress import photo_lines, progress
from ulecli.protection.outcome import PhotoOutcome, Status

OUTCOME = PhotoOutcome(Path("photo.jpg"), None, Status.WRITTEN)


def test_no_silence_is_longer_than_agreed_and_the_end_needs_no_line() -> None:
    written: list[str] = []
    said = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        said.set()

    with photo_lines(write, silence=0.05) as advance:
        assert said.wait(20)
        for _ in range(3):
            advance(OUTCOME, 1200)
        while not written[-1].startswith("photos done: 3 of 1,200; "):
            said.clear()
            assert said.wait(20)
    assert written[0] == "no photo is done yet" and written[-1].endswith(" left")
    quick: list[str] = []
    with photo_lines(quick.append, silence=60) as advance:
        advance(OUTCOME, 1)
    assert quick == []


def test_quiet_is_quiet(capsys) -> None:
    with progress(quiet=True) as advance:
        advance(OUTCOME, 1)
    assert capsys.readouterr().err == ""

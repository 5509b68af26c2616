from __future__ import annotations

import base64
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ulecli.protection.config import ProtectConfig
from ulecli.protection.json_records import photo_record, summary_record
from ulecli.protection.outcome import PhotoOutcome, ProtectReport, Start, Status
from ulecli.protection.summary import outcome_line, start_text, summary_text, watch_text

WRITTEN = PhotoOutcome(
    Path("in/a.jpg"),
    Path("out/a.jpg"),
    Status.WRITTEN,
    "CMYK became RGB",
    "JPEG",
    40,
    30,
    "ada",
    "0123456789abcdef",
    max_change=8,
    psnr_db=34.5678,
    max_change_on_disk=13,
    psnr_db_on_disk=33.21,
    seconds=0.25,
)
SAME = PhotoOutcome(Path("b.png"), Path("out/b.png"), Status.WRITTEN, max_change=0, psnr_db=math.inf)
FAILED = PhotoOutcome(Path(os.fsdecode(b"bad\n\xff.jpg")), None, Status.FAILED, "is empty")
SKIPPED = PhotoOutcome(Path("c.gif"), None, Status.SKIPPED, "is an animation of 3 frames")


def run(*outcomes: PhotoOutcome, identities=("ada",), dry_run=False) -> ProtectReport:
    config = ProtectConfig((Path("in"),), dry_run=dry_run)
    return ProtectReport(config, "cpu", "photo 01234567", outcomes, identities, ("mind the key",), 1.5)


def test_photo_record():
    record = photo_record(WRITTEN)
    assert record["type"] == "photo" and record["status"] == "written"
    assert (record["source"], record["target"]) == ("in/a.jpg", "out/a.jpg")
    assert (record["max_change"], record["max_change_on_disk"]) == (8, 13)
    assert (record["identity"], record["direction"]) == ("ada", "0123456789abcdef")
    assert record["psnr_db"] == 34.568
    assert record["psnr_db_on_disk"] == 33.21
    assert photo_record(SAME)["psnr_db"] is None
    assert photo_record(SAME)["max_change"] == 0
    for unmeasured in ("max_change", "psnr_db", "max_change_on_disk", "psnr_db_on_disk"):
        assert photo_record(FAILED)[unmeasured] is None
    assert photo_record(SAME)["max_change_on_disk"] is None
    assert photo_record(FAILED)["target"] is None


def test_any_name_survives_json():
    line = json.dumps(photo_record(FAILED), ensure_ascii=True, allow_nan=False)
    assert line.isascii() and "\n" not in line
    record = json.loads(line)
    assert record["source"] == "bad\n\ufffd.jpg" and record["target"] is None
    assert base64.b64decode(record["source_bytes"]) == b"bad\n\xff.jpg" and "target_bytes" not in record
    record["source"].encode("utf-8")
    assert "source_bytes" not in photo_record(WRITTEN)


@pytest.mark.parametrize("outcomes", [(), (SAME,), (FAILED,), (WRITTEN, SAME, FAILED, SKIPPED)])
def test_summary_record(outcomes):
    record = summary_record(run(*outcomes))
    json.dumps(record, allow_nan=False)
    assert record["type"] == "summary"
    assert record["failed"] == (FAILED in outcomes) and record["exit_code"] == (
        3 if FAILED in outcomes else 0
    )
    assert record["psnr_db_mean"] == (34.568 if WRITTEN in outcomes else None)
    assert record["read_back"] == (WRITTEN in outcomes)
    assert record["max_change_on_disk"] == (13 if WRITTEN in outcomes else None)
    assert record["psnr_db_on_disk_min"] == (33.21 if WRITTEN in outcomes else None)
    assert record["max_change"] == (8 if WRITTEN in outcomes else 0 if SAME in outcomes else None)


def test_summary_text():
    text = summary_text(run(WRITTEN, SAME, FAILED, SKIPPED))
    for words in (
        "2 protected, 1 skipped, 1 failed in 1.5 s",
        "photo 01234567 on cpu",
        "34.6 dB",
        "8 of 255 levels at most in any colour channel, as --eps 8 allows; PSNR 34.6 dB on average",
        "13 levels at most",
        "33.2 dB",
        "1 of 2 read back; --verify",
        "identity   ada\n",
        "mind the key",
        "c.gif: is an animation of 3 frames",
        "bad\\n\\udcff.jpg: is empty",
    ):
        assert words in text
    text.encode("utf-8")


def test_a_remark_is_told_once_for_all_photos_of_which_it_is_true():
    remarked = [replace(WRITTEN, source=Path(f"{name}.jpg"), reason="CMYK became RGB") for name in "pqr"]
    text = summary_text(run(*remarked, SAME))
    assert text.count("remark") == 1 and "  remark     p.jpg and 2 more: CMYK became RGB" in text
    many = [replace(WRITTEN, source=Path(f"{n}.jpg"), reason=f"remark {n}") for n in range(25)]
    text = summary_text(run(*many))
    assert text.count("  remark  ") == 21 and "and 5 others, which --json names" in text


def test_what_was_not_measured_is_not_told_as_a_number():
    assert "on disk    not measured" in summary_text(run(SAME))
    assert "1 of 1 read back\n" in summary_text(run(WRITTEN))


def test_summary_of_a_dry_run():
    planned = PhotoOutcome(Path("a.jpg"), Path("o/a.jpg"), Status.PLANNED)
    assert "1 would be protected" in summary_text(run(planned, dry_run=True))
    assert outcome_line(planned).endswith("a.jpg -> o/a.jpg")


def test_several_identities():
    text = summary_text(run(WRITTEN, identities=("a", "b")))
    assert "2 of them: a, b" in text


def test_how_many_are_recognised():
    photos = [replace(WRITTEN, source=Path(f"{n}.jpg"), recognised=n > 0) for n in range(3)]
    text = summary_text(run(*photos, SAME))
    assert "recognised in 2 of 3 photos; in 1 the cue is too weak (named by --json)" in text
    assert "recognised in 2 of 2 photos\n" in summary_text(run(*photos[1:]))
    assert "recognised" not in summary_text(run(SAME))
    record = summary_record(run(*photos, SAME))
    assert (record["recognised"], record["unrecognised"]) == (2, 1)
    assert [photo_record(one)["recognised"] for one in (*photos, SAME)] == [False, True, True, None]


STARTS = [
    (
        {},
        "protecting 3 photos of in into out, no colour channel changed by more than 8 of 255 levels",
    ),
    (
        {"epsilon": 4, "dry_run": True},
        "this would protect 3 photos of in into out, no colour channel changed by more than 4",
    ),
    ({"output": None, "in_place": True}, "of in in place, for good, no"),
    ({"output": None, "in_place": True, "backup": Path("b")}, "in place, the originals into b, no"),
    ({"sources": (Path("a.jpg"),), "output": Path("x.jpg")}, "of a.jpg into x.jpg, no"),
    ({"sources": tuple(map(Path, "abcdef"))}, "of a, b, c and 3 more into out, no"),
    ({"sources": (), "listed": (Path("l"),) * 3}, "of a list of 3 into out, no"),
]


@pytest.mark.parametrize(("settings", "words"), STARTS)
def test_the_first_line(settings, words):
    config = replace(ProtectConfig((Path("in"),), Path("out")), **settings)
    root = Path() if config.output == Path("x.jpg") else Path("out")
    assert words in start_text(config, Start(3, (root,), again=False))
    again = start_text(config, Start(3, (root,), again=True))
    end = "nothing is written" if config.dry_run else "what an earlier run has done is left alone"
    assert again.endswith(end)
    if not config.dry_run and not config.listed:
        assert watch_text(config).startswith("watching ") and "Ctrl-C" in watch_text(config)

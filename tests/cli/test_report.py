from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, FullSwing, scene
from PIL import Image

from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import Status
from ulecli.protection.run import protect


def test_the_page_of_a_run(ulecli, photo_folder):
    ulecli("protect", photo_folder)
    out = photo_folder.with_name("photos-protected")
    result = ulecli("report", out)
    assert result.code == 0 and result.out == ""
    written = photo_folder.with_name("photos-protected-report.html")
    assert result.err == f"wrote {written}: 4 protected, 0 failed\n"
    assert written.read_text(encoding="utf-8").count("data:image/jpeg") == 3 * 4
    ledger = ulecli("report", out / ".ulecli.sqlite", "-o", out.with_name("l.html"))
    assert ledger.code == 0 and "4 protected, 0 failed" in ledger.err
    again = ulecli("report", out, "-o", out.with_name("r.html"), "--photos", 2)
    assert (
        again.code == 0
        and out.with_name("r.html").read_text(encoding="utf-8").count("data:image/jpeg") == 3 * 2
    )


def test_of_saved_lines_and_of_the_files(ulecli, photo_folder, tmp_path):
    lines = ulecli("protect", photo_folder, "--json", "-o", tmp_path / "out").out
    (tmp_path / "run.jsonl").write_text(lines)
    assert json.loads(lines.splitlines()[-1])["written"] == 4
    for how in (("--run", tmp_path / "run.jsonl"), ("--original", photo_folder)):
        result = ulecli("report", tmp_path / "out", *how, "-o", tmp_path / "r.html")
        assert result.code == 0 and "4 protected, 0 failed" in result.err


def test_without_the_extra_one_line_names_it_and_nothing_fails(ulecli, photo_folder, monkeypatch):
    ulecli("protect", photo_folder)
    out = photo_folder.with_name("photos-protected")
    page = photo_folder.with_name("photos-protected-report.html")
    assert ulecli("report", out).code == 0 and "by SSIMULACRA2." in page.read_text(encoding="utf-8")
    monkeypatch.setattr("ulecli.imaging.visibility.find_spec", lambda name: None)
    result = ulecli("report", out)
    named, wrote = result.err.splitlines()
    assert result.code == 0 and "pip install '.[measure]'" in named and wrote.startswith("wrote ")
    assert "by SSIM;" in page.read_text(encoding="utf-8")
    asked = ulecli("report", out, "--visibility")
    assert asked.code == 9 and "pip install '.[measure]'" in asked.err and asked.err.count("\n") == 1
    declined = ulecli("report", out, "--no-visibility")
    assert declined.code == 0 and "measure" not in declined.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gone"], 4, "does not exist"),
        (["."], 2, "no ledger"),
        ([".", "--run", "lines", "--eps", "x"], 2, "--eps is x, but must be a whole number of levels"),
        ([".", "--run", "gone"], 4, "gone does not exist"),
        ([".", "--run", "x", "--original", "."], 2, "leave one out"),
        ([".", "--run", "x"], 5, "no photo"),
        ([".", "--run", "lines", "-o", "x/r.html"], 6, "can't write"),
    ],
)
def test_bad_input_ends_in_a_line_and_a_code(ulecli, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("")
    (tmp_path / "lines").write_text('{"type": "photo", "source": "a", "status": "failed", "reason": "r"}')
    result = ulecli("report", *arguments)
    assert result.code == code and words in result.err and "Traceback" not in result.err


@pytest.mark.slow
def test_a_browser_shows_it(ulecli, photo_folder, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("there is no Chromium")
    ulecli("protect", photo_folder)
    ulecli("report", photo_folder.with_name("photos-protected"), "-o", tmp_path / "r.html")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=390,1800"]
    command = [browser, *options, f"--screenshot={tmp_path / 's.png'}", (tmp_path / "r.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    with Image.open(tmp_path / "s.png") as shot:
        colours = shot.convert("RGB").getcolors(1 << 24)
    assert shot.size == (390, 1800) and len(colours) > 1000


class Asked(FullSwing):
    """Before its third perturbation, so during a run, other commands are asked about the output."""

    def __init__(self, *commands: list[str]) -> None:
        super().__init__()
        self.commands, self.done = commands, []

    def __call__(self, *arguments, **settings):
        if len(self.seen) == 2:
            for words in self.commands:
                command = [sys.executable, "-m", "ulecli", *words]
                self.done.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True))
        return super().__call__(*arguments, **settings)


def test_during_a_run_it_shows_what_is_done_and_a_second_run_waits(photo_folder, tmp_path, config_home):
    out, page, key = tmp_path / "out", tmp_path / "r.html", tmp_path / "key"
    key.write_text("75" * 32 + "\n")
    asked = Asked(
        ["report", str(out), "-o", str(page)],
        ["verify", str(photo_folder), str(out), "--no-cue"],
        ["protect", str(photo_folder), "-o", str(out), "--key-file", str(key)],
        ["protect", str(photo_folder), "-o", str(out), "--key-file", str(key), "--dry-run"],
    )
    report = protect(ProtectConfig((photo_folder,), out, key_file=key), asked)
    assert report.count(Status.WRITTEN) == 4
    reported, verified, second, dry = asked.done
    assert reported.returncode == 0 and "a run is in progress" in reported.stderr
    assert "data:image/jpeg" in page.read_text(encoding="utf-8")
    assert verified.returncode == 3 and "a run is in progress" in verified.stderr
    assert "another picture" not in verified.stderr and "no protected copy" in verified.stderr
    assert second.returncode == 11 and "another run" in second.stderr
    assert dry.returncode == 0


def test_of_an_output_on_a_read_only_disk(ulecli, photo_folder, small_disk, tmp_path):
    out = small_disk / "out"
    ulecli("protect", photo_folder, "-o", out)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = ulecli("report", out)
    assert refused.code == 6 and "choose another with -o" in refused.err and refused.err.count("\n") == 1
    done = ulecli("report", out, "-o", tmp_path / "r.html")
    assert done.code == 0 and "4 protected, 0 failed" in done.err and "in progress" not in done.err


def test_a_photo_that_was_written_is_reported_from_the_ledger_beside_it(tmp_path, ulecli):
    scene(64, 48).save(tmp_path / "a.png")
    assert ulecli("protect", tmp_path / "a.png", "-o", tmp_path / "b.png").code == 0
    done = ulecli("report", tmp_path / "b.png", "-o", tmp_path / "page.html")
    assert done.code == 0 and "1 protected, 0 failed" in done.err

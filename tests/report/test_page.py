from __future__ import annotations

import base64
import io
import json
import math
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import scene
from isolated_entries import BAD_CARDS
from PIL import Image, ImageCms

from ulecli.errors import NothingToDo, UsageError
from ulecli.formats.colour import display_p3
from ulecli.imaging.figure import shrunk
from ulecli.imaging.ssim import ssim
from ulecli.imaging.visibility import Visibility, visibility
from ulecli.protection.config import ProtectConfig
from ulecli.protection.json_records import photo_record, summary_record
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.run import protect
from ulecli.report.cards import Card, Comparison, Worst, cards, chosen, worst
from ulecli.report.drawing import CLOSE_SIDE, SIDE
from ulecli.report.histogram import bins, histogram
from ulecli.report.page import page
from ulecli.report.runs import Run, check_not_empty, from_json, from_ledger, from_pairs

WHEN = datetime(2026, 1, 2, 3, 4)
EMPTY = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Reads a page strictly: every tag is closed, in order; keeps attributes and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def outcome(name: str, status: Status = Status.WRITTEN, **more: object) -> PhotoOutcome:
    return PhotoOutcome(Path(name), more.pop("target", None), status, **more)


@pytest.fixture
def done(photo_folder, perturber, config_home):
    """A run with a failure, and where it wrote."""
    (photo_folder / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return protect(ProtectConfig((photo_folder,)), perturber), photo_folder.with_name("photos-protected")


def facts(run: Run) -> dict[str, tuple]:
    return {
        it.source.name + it.source.parent.name: (it.status, it.target, it.psnr_db, it.reason)
        for it in run.outcomes
    }


def test_the_ledger_and_the_lines_tell_the_same(done, tmp_path):
    report, out = done
    lines = [*map(photo_record, report.outcomes), summary_record(report)]
    (tmp_path / "run.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ledger, saved = from_ledger(out), from_json(tmp_path / "run.jsonl")
    assert len(ledger.of(Status.WRITTEN)) == 4 and len(ledger.of(Status.FAILED)) == 1
    assert ledger.epsilon == saved.epsilon == 8 and ledger.surrogate == saved.surrogate == "swing 01234567"
    for name, (status, target, psnr, reason) in facts(saved).items():
        assert facts(ledger)[name][::3] == (status, reason)
        assert facts(ledger)[name][1] == target and facts(ledger)[name][2] == pytest.approx(psnr, abs=1e-3)


def test_the_files_alone(done, photo_folder):
    _, out = done
    (out / "one.jpg").unlink()
    (out / ".ulecli.sqlite").unlink()
    run = from_pairs(photo_folder, out)
    assert len(run.of(Status.WRITTEN)) == 3 and run.epsilon == 8
    assert {it.source.name for it in run.of(Status.FAILED)} == {"one.jpg", "bad.jpg"}
    (only,) = [card for card in cards([run.of(Status.WRITTEN)[0]], 8)]
    assert 35 < only.psnr_db < 50  # measured from the files, since no record says it


def test_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="--original"):
        from_ledger(tmp_path)
    for text in ("no json", "[]", '{"type": "photo"}', '{"type": "photo", "source": "x", "status": "odd"}'):
        (tmp_path / "x").write_text('{"type": "summary"}\n' + text)
        with pytest.raises(UsageError, match="line 2"):
            from_json(tmp_path / "x")
    with pytest.raises(NothingToDo):
        check_not_empty(Run("x", ()))


def test_a_path_that_is_no_unicode_comes_back(tmp_path):
    import os

    odd = outcome(os.fsdecode(b"/a/\xff\n.png"), Status.FAILED, reason="is odd")
    (tmp_path / "run.jsonl").write_text(json.dumps(photo_record(odd)))
    assert from_json(tmp_path / "run.jsonl").outcomes == (odd,)


def test_the_photos_are_evenly_spread(tmp_path):
    scene().save(tmp_path / "x.png")
    many = [outcome(f"{number:03}", target=tmp_path / "x.png") for number in range(100)]
    assert [it.source.name for it in chosen(many, 4)] == ["000", "025", "050", "075"]
    assert chosen(many, 100) == chosen(many, 500) == many and chosen(many, 0) == []
    assert chosen([outcome("gone", target=tmp_path / "gone"), outcome("bad", Status.FAILED)], 9) == []


def picture(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_card_shows_the_protected_photo_and_the_change(tmp_path):
    before = Image.new("RGB", (500, 250), (100, 100, 100))
    after = Image.fromarray(np.asarray(before) + np.uint8(8))
    before.save(tmp_path / "before.png")
    after.save(tmp_path / "after.png")
    (card,) = cards([outcome(str(tmp_path / "before.png"), target=tmp_path / "after.png")], 8)
    with picture(card.fitted.after) as shown, picture(card.fitted.before) as original:
        assert shown.size == original.size == (card.fitted.width, card.fitted.height) == (500, 250)
        assert shown.getpixel((9, 9)) == (108, 108, 108) and original.getpixel((9, 9)) == (100, 100, 100)
    with picture(card.change) as change:
        assert change.size == (SIDE, SIDE // 2) and change.getpixel((9, 9)) == (255, 255, 255)
    assert card.psnr_db == pytest.approx(20 * math.log10(255 / 8)) and card.close is None


def test_a_large_photo_is_shown_as_it_fits_a_screen_and_where_it_is_weakest(tmp_path):
    before = scene(3000, 1500)
    pixels = np.array(before)
    pixels[900:1200, 2300:2600] //= 2
    before.save(tmp_path / "before.png")
    Image.fromarray(pixels).save(tmp_path / "after.png")
    photo = outcome(str(tmp_path / "before.png"), target=tmp_path / "after.png")
    (card,) = cards([photo], 8, visibility=True)
    assert (card.fitted.width, card.fitted.height) == (1080, 540)
    assert (card.close.width, card.close.height) == (CLOSE_SIDE, CLOSE_SIDE)
    with picture(card.close.before) as one, picture(card.close.after) as other:
        change = np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean(axis=2)
        assert 0.9 < (change > 30).sum() / 300**2 < 1.1  # all of it, and no pixel shrunk
    screen = [np.asarray(shrunk(it, 1080)) for it in (before, Image.fromarray(pixels))]
    assert card.visibility == visibility(*screen) and card.ssim == ssim(before, Image.fromarray(pixels))


def test_before_and_after_are_stored_alike_and_in_bounded_room(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1080, 3)).astype(np.uint8)
    for name, picture_of in (("before", Image.fromarray(noise)), ("after", Image.new("RGB", (1080, 1080)))):
        picture_of.save(tmp_path / f"{name}.png")
    (card,) = cards([outcome(str(tmp_path / "before.png"), target=tmp_path / "after.png")], 8)
    with picture(card.fitted.before) as one, picture(card.fitted.after) as other:
        assert one.quantization == other.quantization
    assert len(card.fitted.before) < 1_500_000


def card_of(name: str, ssimulacra2: float | None = None, ssim: float | None = None) -> Card:
    seen = None if ssimulacra2 is None else Visibility(ssimulacra2, 0.1)
    return Card(outcome(name), Comparison(9, 9, "data:", ""), ssim=ssim, visibility=seen)


def test_the_worst_come_first():
    seen = [card_of("a", 70, 0.9), card_of("gone"), card_of("b", -5, 0.99), card_of("c", 40, 0.8)]
    found = worst(iter(seen), 2)
    assert [it.outcome.source.name for it in found.cards] == ["b", "c"] and found.drawn == 4
    assert [it.ssimulacra2 for it in found.visibilities] == [70, -5, 40]
    assert [it.outcome.source.name for it in worst(seen, 9).cards] == ["b", "c", "a", "gone"]
    plain = [card_of("gone"), card_of("a", None, 0.99), card_of("b", None, 0.9)]
    assert [it.outcome.source.name for it in worst(plain, 9).cards] == ["b", "a", "gone"]
    assert worst([], 9) == Worst((), 0, ())


def test_the_page_says_by_which_measure_and_of_how_many(tmp_path):
    run = Run("x", tuple(outcome(str(number), target=tmp_path) for number in range(50)))
    seen = Reader(page(run, worst([card_of("a", 70, 0.9), card_of("b", -5, 0.9)], 1), WHEN)).words
    assert "The worst first, by SSIMULACRA2." in seen and "1 of 2 that were measured" in seen
    assert "evenly spread over 50" in seen and "is 32.5 in the mean and -5.0 in" in seen
    plain = Reader(page(run, worst([card_of("a", None, 0.9)], 1), WHEN)).words
    assert "by SSIM; for SSIMULACRA2 and FLIP: pip install '.[measure]'" in plain
    assert "How visible" not in plain


def test_a_card_shows_the_colours_that_the_profile_means(tmp_path):
    profile, plain = display_p3(), Image.new("RGB", (64, 64), (200, 60, 60))
    plain.save(tmp_path / "in.png", icc_profile=profile)
    plain.save(tmp_path / "out.png", icc_profile=profile)
    (card,) = cards([outcome(tmp_path / "in.png", target=tmp_path / "out.png")], 8)
    srgb = ImageCms.createProfile("sRGB")
    meant = ImageCms.profileToProfile(plain, io.BytesIO(profile), srgb).getpixel((32, 32))
    with picture(card.fitted.after) as fitted:
        shown = fitted.getpixel((32, 32))
    assert max(abs(one - other) for one, other in zip(shown, meant, strict=True)) <= 3
    assert max(abs(one - other) for one, other in zip(shown, (200, 60, 60), strict=True)) > 8


def test_cards_without_an_original_or_without_a_photo(tmp_path):
    for name, size in (("a.png", (40, 30)), ("other.png", (30, 40)), ("thin.png", (1, 2000))):
        scene(*size).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"bad")
    targets = {
        "gone.png": "a.png",
        "a.png": "a.png",
        "other.png": "a.png",
        "thin.png": "thin.png",
        "x.png": "bad.png",
    }
    made = list(cards([outcome(str(tmp_path / a), target=tmp_path / b) for a, b in targets.items()], 8))
    assert [card.outcome.source.name for card in made] == ["gone.png", "a.png", "other.png", "thin.png"]
    assert not any(card.change or card.fitted.before or card.close or card.ssim for card in made)


def test_a_decoder_that_dies_hangs_or_lies_costs_its_card_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("ulecli.report.cards.ENTRY", "isolated_entries:evil_cards")
    names, failures = ["good", "die", "hang", *BAD_CARDS, "better"], {}
    for name in names:
        scene().save(tmp_path / f"{name}.png")
    outcomes = [outcome(str(tmp_path / "gone"), target=tmp_path / f"{name}.png") for name in names]

    def fail(one: PhotoOutcome, reason: str) -> None:
        failures[one.target.stem] = reason

    made = list(cards(outcomes, 8, jobs=2, timeout=8, on_failure=fail))
    assert [card.outcome.target.stem for card in made] == ["good", "better"]
    assert "died of it" in failures["die"] and "longer than 8 s" in failures["hang"]
    assert all("what it must not" in failures[name] for name in BAD_CARDS)


@pytest.mark.parametrize(
    "values", [[31.9], [30.0, 30.05, 31.0], [31.5, 60.0], list(np.linspace(28, 36, 999))]
)
def test_every_value_is_in_its_bin(values):
    start, counts, width = bins(values)
    assert sum(counts) == len(values) and counts[0] and counts[-1] and len(counts) <= 25
    for value in values:
        assert counts[math.floor((value - start) / width + 1e-9)] > 0
    drawn = Reader(histogram(values, "dB", "a label"))
    assert sum(tag == "rect" for tag, _ in drawn.tags) == len(counts)


NAMES = (
    '<script>alert("1")</script>.jpg',
    "'\"><img src=x onerror=alert(1)>.png",
    "a & b.jpg",
    "\u202egpj.exe",
    "\ud800.jpg",
    "new\nline.png",
)


def test_no_name_and_no_reason_breaks_the_page(tmp_path):
    scene().save(tmp_path / "x.png")
    source, reason = str(tmp_path / "gone"), "</td><script>x</script>"
    odd = [outcome(name, Status.FAILED, reason=f"{name} {reason}") for name in NAMES]
    kept = [outcome(source, target=tmp_path / "x.png", reason=reason)]
    text = page(Run(NAMES[0], (*odd, *kept), 8, NAMES[1]), worst(cards(kept, 8), 9), WHEN)
    found = Reader(text)
    text.encode("utf-8")
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe", "a", "object"})
    assert sum(tag == "img" for tag, _ in found.tags) == 1
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    for name in NAMES[:3]:
        assert name in found.words
    assert "\u202e" not in text and "new\\nline.png" in found.words


def test_the_page_of_a_run_asks_nobody_for_anything(done):
    _, out = done
    run = from_ledger(out)
    found = Reader(text := page(run, worst(cards(chosen(run.outcomes, 99), 8), 99), WHEN))
    sources = [attributes["src"] for _, attributes in found.tags if "src" in attributes]
    assert len(sources) == 3 * 4 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not any("href" in attributes for _, attributes in found.tags)
    assert "url(" not in text and "@import" not in text and "http" not in text.replace("http-equiv", "")
    policy = next(it["content"] for _, it in found.tags if "content" in it and "default-src" in it["content"])
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "bad.jpg" in found.words and run.of(Status.FAILED)[0].reason in found.words
    assert all(name in found.words for name in ("one.jpg", "IMG_1.png", "Zürich 東京.webp"))
    assert "4protected" in found.words and "1failed" in found.words
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_a_long_list_of_failures_is_cut_and_summed_up():
    many = tuple(outcome(f"{number:05}.jpg", Status.FAILED, reason="is empty") for number in range(2500))
    found = Reader(page(Run("x", many), worst([], 0), WHEN))
    assert sum(tag == "tr" for tag, _ in found.tags) == 2000
    assert "2,500 \N{MULTIPLICATION SIGN} is empty" in found.words and "and 500 more" in found.words

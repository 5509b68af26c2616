from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace

import pytest
import torch
from helpers.results_of import run
from helpers.small_set import small_set

from ulecli.evaluation.poisons.poison_audit import audit
from ulecli.evaluation.results.audits import audit_line, audit_lines, render_audits
from ulecli.evaluation.results.tables import render


def audited(shift: int = 4, **more: object) -> dict[str, object]:
    clean = small_set()
    images = clean.images.clone()
    images[:12, 0] = (images[:12, 0].int() - shift).clamp(0, 255).to(torch.uint8)
    return {**asdict(audit(replace(clean, images=images), clean, kind="images in levels")), **more}


def test_a_line_has_what_was_found():
    found = audited()
    line = audit_line("half", found)
    red = found["mean_amplitude"][0]
    assert line == (
        "audit of half: images in levels, 50% of 24 images changed, by up to 4 levels, on average "
        f"R {red:.1f} G 0.0 B 0.0, 100% of the changes negative, PSNR {found['psnr_db']:.1f} dB, order holds"
    )
    assert audit_line("x", {**found, "misplaced": 0.9, "nearer_to_others": 1}).endswith("in another order")
    assert audit_line("x", {**found, "nearer_to_others": 0.9}).endswith("unlike the data set's images")
    assert audit_line("x", {**found, "labels_differ": 0.25}).endswith("25.0% of the labels differ")
    assert audit_line("x", {**found, "classwise": True}).endswith("one for each class, order holds")
    assert audit_line("x", audited(0)) == "audit of x: it changes nothing"
    assert audit_line("a\nb", found).isprintable()


def test_poisons_of_records_have_a_line_each_and_controls_none():
    records = [
        run(),
        run("noise", audit=audited()),
        run("x", audit=audited()),
        run("x", seed=1, audit=audited()),
    ]
    assert audit_lines(records) == [audit_line("x", audited())]
    assert audit_line("x", audited()) in render(records, "table").splitlines()
    assert audit_lines([run("cifar")]) == []


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "json", "csv"])
def test_formats(form):
    audits = {"a": audited(warnings=("look",)), "b": audited(9, warnings=(), labels_differ=0.5)}
    text = render_audits(audits, form)
    if form == "json":
        found = json.loads(text)
        assert found["type"] == "audit" and [one["poison"] for one in found["poisons"]] == ["a", "b"]
        assert found["poisons"][1]["max_change"] == 9 and found["poisons"][0]["warnings"] == ["look"]
    elif form == "csv":
        found = list(csv.DictReader(io.StringIO(text)))
        assert [one["labels_differ"] for one in found] == ["", "0.5"]
        assert json.loads(found[0]["shape"]) == [3, 8, 10]
    else:
        assert text.splitlines() == [
            audit_line("a", audits["a"]),
            "warning: look (a)",
            audit_line("b", audits["b"]),
        ]

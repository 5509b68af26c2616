from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import FullSwing

from ulecli.formats.options import MetadataMode, Reading
from ulecli.imaging.strength import Strength
from ulecli.protection.config import ProtectConfig
from ulecli.protection.outcome import Photo, Status
from ulecli.protection.task import Task, parameters_of

CONFIG = ProtectConfig((Path("in"),))


def test_parameters_are_what_ledgers_hold():
    # Photos of earlier runs are compared with this text: it may never change.
    assert parameters_of(CONFIG, FullSwing(), "0123456789abcdef") == (
        '{"direction": "0123456789abcdef", "epsilon": 8, "first_frame": false, "metadata": "private", '
        f'"strength": "default", "surrogate": "swing 01234567", "surrogate_sha256": "{"01234567" * 8}"}}'
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 4},
        {"strength": Strength.SUBTLE},
        {"reading": Reading(first_frame=True)},
        {"reading": Reading(metadata=MetadataMode.KEEP)},
    ],
)
def test_what_decides_the_pixels_is_told_apart(settings):
    others = (
        parameters_of(replace(CONFIG, **settings), FullSwing(), "a"),
        parameters_of(CONFIG, FullSwing(), "a"),
    )
    assert len(set(others)) == 2 and all(
        json.loads(it).keys() == json.loads(others[0]).keys() for it in others
    )


def test_directions_and_surrogates_are_told_apart():
    other = FullSwing()
    other.sha256 = "76543210" * 8
    assert len({parameters_of(CONFIG, one, name) for one in (FullSwing(), other) for name in ("", "a")}) == 4


@pytest.mark.parametrize(
    "settings", [{"jobs": 2}, {"identity": "ada"}, {"output": Path("out")}, {"verify": True}, {"force": True}]
)
def test_what_decides_no_pixels_is_no_parameter(settings):
    assert parameters_of(replace(CONFIG, **settings), FullSwing(), "a") == parameters_of(
        CONFIG, FullSwing(), "a"
    )


def test_an_outcome_has_what_is_known_of_its_task():
    photo = Photo(Path("in/x.png"), Path("in"), "PNG")
    task = Task(
        photo, Path("out/x.png"), Path("out"), "is named PNG", identity="ada", direction="0123456789abcdef"
    )
    outcome = task.outcome(Status.PLANNED)
    assert (outcome.source, outcome.target, outcome.format) == (photo.path, task.target, "PNG")
    assert (outcome.status, outcome.reason) == (Status.PLANNED, "is named PNG")
    assert (outcome.identity, outcome.direction) == ("ada", "0123456789abcdef")
    assert outcome.max_change is outcome.recognised is None

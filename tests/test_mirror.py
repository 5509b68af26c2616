"""Tests lie where the modules lie that they test; those of a topic that crosses modules are listed here."""

from __future__ import annotations

from pathlib import Path

import pytest

import ulecli

PACKAGE, TESTS = Path(ulecli.__file__).parent, Path(__file__).parent

TOPICS = {
    "cli/test_library.py": "protect on a library, over many modules",
    "evaluation/exploiters/test_effects.py": "every countermeasure has the effect that it promises",
    "evaluation/exploiters/test_stored.py": "countermeasures that store the images, against Pillow",
    "formats/test_fuzz.py": "damaged files of every format",
    "formats/test_large.py": "large pictures of every format",
    "formats/test_left_out.py": "what files of every format hold beside the picture",
    "formats/test_sizes.py": "how large written files are, in bytes",
    "nets/test_nets.py": "every net of the registry",
    "perturb/test_gpu.py": "every backend on a GPU",
    "protection/test_edited.py": "copies that were edited by other tools",
    "protection/test_faults.py": "faults of disks, memory and processes",
    "protection/test_in_place.py": "the option --in-place",
    "protection/test_output_file.py": "an output that is one file",
    "protection/test_resume.py": "runs that go on from earlier ones",
    "protection/test_unreachable.py": "links and folders that can't be followed",
    "test_floors.py": "the architecture",
    "test_mirror.py": "this test",
    "test_no_network.py": "no command opens a socket",
    "test_samples.py": "the photos in samples/",
    "test_threads.py": "how many threads are at work",
    "test_startup.py": "what starting a command imports",
}
"""Test files that have no module of their name, and what they are about."""


def modules() -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}


def suite() -> set[str]:
    return {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}


@pytest.mark.parametrize("name", sorted(suite()))
def test_every_test_has_its_module_or_is_a_topic(name: str) -> None:
    folder, _, file = name.rpartition("test_")
    assert name in TOPICS or f"{folder}{file}" in modules(), f"no module ulecli/{folder}{file}"


def test_topics_are_tests_that_have_no_module() -> None:
    assert TOPICS.keys() <= suite()
    assert not {name for name in TOPICS if name.replace("test_", "", 1) in modules()}


def test_every_package_has_tests() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}

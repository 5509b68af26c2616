"""`-o` as a file, and sources that would mix in one output."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import scene
from PIL import Image


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.png")):
        scene(24, 16, seed).save(name)
    return tmp_path


def made(root: Path) -> set[str]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(root).as_posix() for path in files} - {"a.jpg", "b.jpg", "c.png"}


@pytest.mark.parametrize("output", ["protected.jpg", "deep/er/protected.JPEG", "x.jpe"])
def test_one_photo_becomes_the_file_that_is_named(ulecli, here, output):
    assert ulecli("protect", "a.jpg", "-o", output).code == 0
    assert made(here) == {output}
    with Image.open(output) as image:
        assert image.size == (24, 16) and image.format == "JPEG"
    assert "1 unchanged" in ulecli("protect", "a.jpg", "-o", output).err
    assert ulecli("protect", "a.jpg", "-o", output, "--dry-run").code == 0
    assert made(here) == {output}


def test_a_folder_stays_a_folder(ulecli, here):
    Path("album.jpg").mkdir()
    assert ulecli("protect", "a.jpg", "-o", "album.jpg").code == 0
    assert ulecli("protect", "b.jpg", "-o", "out").code == 0
    assert ulecli("protect", "b.jpg", "-o", "v1.2").code == 0
    assert made(here) == {"album.jpg/a.jpg", "out/b.jpg", "v1.2/b.jpg"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.jpg", "-o", "x.png"], "choose -o x.jpg"),
        (["c.png", "-o", "x.jpg"], "choose -o x.png"),
        (["a.jpg", "-o", "a.jpg"], "replace the source"),
        (["a.jpg", "b.jpg", "-o", "x.jpg"], "name a folder"),
        ([".", "-o", "../x.jpg"], "name a folder"),
        (["a.jpg", "-o", "b.jpg/x.jpg"], "not a folder"),
    ],
)
def test_what_can_not_be_that_file(ulecli, here, arguments, words):
    result = ulecli("protect", *arguments)
    assert result.code == 6 and words in result.err and made(here) == set()


def test_a_file_in_the_way_stays_without_overwrite(ulecli, here):
    Path("x.jpg").write_bytes(b"precious")
    result = ulecli("protect", "a.jpg", "-o", "x.jpg")
    assert result.code == 3 and "--overwrite" in result.err and Path("x.jpg").read_bytes() == b"precious"
    assert ulecli("protect", "a.jpg", "-o", "x.jpg", "--overwrite").code == 0
    first = Path("x.jpg").read_bytes()
    result = ulecli("protect", "b.jpg", "-o", "x.jpg")
    assert result.code == 3 and "a.jpg; --overwrite" in result.err and Path("x.jpg").read_bytes() == first
    assert ulecli("protect", "b.jpg", "-o", "x.jpg", "--overwrite").code == 0
    assert Path("x.jpg").read_bytes() != first and made(here) == {"x.jpg"}


def folders(*names: str) -> None:
    for seed, name in enumerate(names):
        Path(name).mkdir(parents=True)
        scene(8, 8, seed).save(Path(name, "x.png"))


@pytest.mark.parametrize(
    "names", [("anna/2024", "bert/2024"), ("anna/Trip", "bert/trip"), ("x/2024", "y/2023", "z/2024")]
)
def test_folders_of_one_name_do_not_mix(ulecli, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    folders(*names)
    for arguments in (["-o", "out"], ["-o", "out", "--dry-run"], ["--in-place", "--backup", "out"]):
        result = ulecli("protect", *names, *arguments)
        assert result.code == 6 and names[0] in result.err and names[-1] in result.err
        assert "mix" in result.err and not Path("out").exists()
    for name in names:
        assert ulecli("protect", name, "-o", f"out/{Path(name).parent}").code == 0


def test_the_same_folder_named_twice_does_not_mix_with_itself(ulecli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders("anna/2024")
    Path("anna/link").symlink_to("2024")
    assert ulecli("protect", "anna/2024", "./anna/2024", "anna/../anna/2024", "-o", "out").code == 0
    assert made(tmp_path) == {"anna/2024/x.png", "out/2024/x.png"}

from __future__ import annotations

from pathlib import Path

import pytest

from ulecli.errors import TargetError
from ulecli.protection.config import ProtectConfig
from ulecli.protection.destination import plan
from ulecli.protection.outcome import Photo
from ulecli.protection.output_check import check


def tree(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def planned(photos, sources, output=None, **settings):
    config = ProtectConfig(tuple(sources), output, **settings)
    return [str(task.target) for task in plan(photos, config)]


def test_a_folder_is_mirrored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = tree(Path("p"), "a/x.jpg", "b/x.jpg")
    photos = [Photo(path, Path("p"), "JPEG") for path in paths]
    assert planned(photos, [Path("p")], Path("out")) == ["out/a/x.jpg", "out/b/x.jpg"]
    assert planned(photos, [Path("p")]) == ["p-protected/a/x.jpg", "p-protected/b/x.jpg"]
    assert planned(photos, [Path("p"), Path("q")], Path("out")) == ["out/p/a/x.jpg", "out/p/b/x.jpg"]


def test_here_is_a_source_too(tmp_path, monkeypatch):
    (path,) = tree(tmp_path / "p", "x.jpg")
    monkeypatch.chdir(path.parent)
    assert planned([Photo(Path("x.jpg"), Path(), "JPEG")], [Path()]) == [
        str(tmp_path.resolve() / "p-protected" / "x.jpg")
    ]


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = tree(Path("p"), "b.jpg", "c.tar.jpeg")
    photos = [Photo(path, path, "JPEG") for path in paths]
    assert planned(photos, paths) == ["p/b-protected.jpg", "p/c.tar-protected.jpeg"]
    assert planned(photos, paths, Path("out")) == ["out/b.jpg", "out/c.tar.jpeg"]


def test_no_file_takes_the_place_of_another(tmp_path):
    names = ("1/IMG.jpg", "1/img.JPG", "2/photo.2019", "2/x.jpg", "2/x.png", "2/x-2.png")
    paths = tree(tmp_path, *names)
    formats = ("JPEG", "JPEG", "JPEG", "PNG", "PNG", "PNG")
    photos = [Photo(path, tmp_path, format) for path, format in zip(paths, formats, strict=True)]
    tasks = plan(photos, ProtectConfig((tmp_path,), Path("/out")))
    assert [str(task.target) for task in tasks] == [
        "/out/1/IMG.jpg",
        "/out/1/img-2.JPG",
        "/out/2/photo.2019.jpg",
        "/out/2/x-3.png",
        "/out/2/x.png",
        "/out/2/x-2.png",
    ]
    assert "PNG" in tasks[3].remark and "taken" in tasks[3].remark
    assert tasks[4].remark == ""


def test_two_sources_of_one_name(tmp_path):
    paths = tree(tmp_path, "1/p/x.jpg", "2/p/x.jpg")
    photos = [Photo(path, path.parent, "JPEG") for path in paths]
    assert planned(photos, [path.parent for path in paths], Path("/out")) == [
        "/out/p/x.jpg",
        "/out/p/x-2.jpg",
    ]


@pytest.mark.parametrize("output", ["p", "p/out", ".", "p/../p", "link"])
def test_output_and_source_do_not_mix(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (path,) = tree(Path("p"), "x.jpg")
    Path("link").symlink_to("p")
    with pytest.raises(TargetError, match="-o"):
        check([Photo(path, Path("p"), "JPEG")], ProtectConfig((Path("p"),), Path(output)))


def test_a_source_is_never_a_target(tmp_path):
    paths = tree(tmp_path, "x.jpg", "x-protected.jpg")
    photos = [Photo(path, path, "JPEG") for path in paths]
    assert planned(photos, paths)[0] == str(tmp_path / "x-protected-2.jpg")
    with pytest.raises(TargetError, match="replace the source"):
        check(photos, ProtectConfig(tuple(paths), tmp_path))


def test_a_link_in_the_output_does_not_lead_to_a_source(tmp_path):
    photos = [Photo(path, tmp_path / "p", "JPEG") for path in tree(tmp_path / "p", "a/x.jpg", "b/x.jpg")]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "p" / "b")
    check(photos, ProtectConfig((tmp_path / "p",), tmp_path / "out"))
    assert planned(photos, [tmp_path / "p"], tmp_path / "out") == [
        str(tmp_path / "out" / "a" / "x-2.jpg"),
        str(tmp_path / "out" / "b" / "x.jpg"),
    ]


def test_writable(tmp_path):
    (path,) = tree(tmp_path / "p", "x.jpg")
    (tmp_path / "file").touch()
    photos = [Photo(path, path.parent, "JPEG")]
    check(photos, ProtectConfig((path.parent,)))
    check(photos, ProtectConfig((path.parent,), tmp_path / "a" / "b"))
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(TargetError, match="not a folder"):
            check(photos, ProtectConfig((path.parent,), output))


def test_read_only(tmp_path, monkeypatch):
    (path,) = tree(tmp_path / "p", "x.jpg")
    monkeypatch.setattr("os.access", lambda folder, mode: False)  # the superuser may write everywhere
    with pytest.raises(TargetError, match="can't write"):
        check([Photo(path, path.parent, "JPEG")], ProtectConfig((path.parent,)))
    check([Photo(path, path.parent, "JPEG")], ProtectConfig((path.parent,), dry_run=True))
    in_place = ProtectConfig((path.parent,), in_place=True, backup=tmp_path / "b")
    with pytest.raises(TargetError, match="no photo in it can be replaced"):
        check([Photo(path, path.parent, "JPEG")], in_place)
    monkeypatch.setattr("os.access", lambda folder, mode: folder == path.parent)
    with pytest.raises(TargetError, match="another with --backup"):
        check([Photo(path, path.parent, "JPEG")], in_place)


def test_a_backup_mirrors_and_does_not_mix_with_the_source(tmp_path):
    (path,) = tree(tmp_path / "p", "a/x.jpg")
    source = tmp_path / "p"
    photos = [Photo(path, source, "JPEG")]
    config = ProtectConfig((source,), in_place=True, backup=tmp_path / "b")
    check(photos, config)
    (task,) = plan(photos, config)
    assert (task.target, task.backup, task.root) == (path, tmp_path / "b" / "a" / "x.jpg", source)
    for backup in (source, source / "b", tmp_path):
        with pytest.raises(TargetError, match="--backup"):
            check(photos, ProtectConfig((source,), in_place=True, backup=backup))


def test_listed_files_keep_their_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (path,) = tree(Path("p"), "a/x.jpg")
    photo = Photo(path, path, "JPEG", within=Path("p/a/x.jpg"))
    assert planned([photo], [], Path("out"), listed=(path,)) == ["out/p/a/x.jpg"]
    assert planned([photo], [], listed=(path,)) == ["p/a/x-protected.jpg"]

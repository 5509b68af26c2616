from __future__ import annotations

import pytest

from ulecli.system.atomic import replacing


def test_replaces_and_makes_folders(tmp_path):
    target = tmp_path / "a" / "b" / "x"
    for content in ("old", "new"):
        with replacing(target) as part:
            assert part.parent == target.parent and part.name.startswith(".") and part.suffix == ".part"
            part.write_text(content)
        assert target.read_text() == content
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_a_failure_leaves_the_old_content_and_no_part(tmp_path, error):
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(error), replacing(target) as part:
        part.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "link").read_text() == "new" and not (tmp_path / "link").is_symlink()

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.full_disks import files_up_to

from ulecli.errors import ExitCode, TargetError
from ulecli.system.writing import check_room, writing_to


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_what_can_not_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(TargetError, match=r"can't write to .*here: File too large; make room") as caught,
        writing_to(tmp_path / "here"),
        files_up_to(1000),
    ):
        (tmp_path / "here").write_bytes(bytes(2000))
    assert caught.value.exit_code is ExitCode.TARGET
    with (
        pytest.raises(TargetError, match=r"can't write to .*here: the disk took only a part; name another"),
        writing_to(tmp_path / "here", "name another"),
        files_up_to(10000),
    ):
        np.save(tmp_path / "here.npy", np.zeros(20000, np.uint8))


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="something else"), writing_to(Path()):
        raise ValueError("something else")
    with pytest.raises(TargetError) as caught, writing_to(Path("a\nb")):
        raise OSError(errno.EACCES, "denied")
    assert str(caught.value) == "can't write to a\\nb: denied; make room, allow it or name another --out"


def test_room_is_that_of_the_disk(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_room(tmp_path / "not" / "there", 0)
    with pytest.raises(TargetError, match=r"there is to take [\d,.]+ MiB, and its disk has [\d,.]+ MiB free"):
        check_room(tmp_path / "not" / "there", 2 * free)

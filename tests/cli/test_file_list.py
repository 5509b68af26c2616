"""Lists of files as the tools of several systems write them."""

from __future__ import annotations

import codecs
import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ulecli.cli.file_list import read_file_list
from ulecli.errors import NoSuchPath, UsageError

NAMES = ("a.jpg", "Zürich 東京.png", "sub/c d.jpg", "\N{GRINNING FACE}.png")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    (tmp_path / "sub").mkdir()
    for name in NAMES:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(content: bytes, *, null: bool = False) -> list[str]:
    Path("list").write_bytes(content)
    return [os.fspath(path) for path in read_file_list("list", null=null)]


ENCODINGS = {
    "UTF-8": (b"", "utf-8"),
    "UTF-8 with a mark": (codecs.BOM_UTF8, "utf-8"),
    "UTF-16 LE": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "UTF-16 BE": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "UTF-32 LE": (codecs.BOM_UTF32_LE, "utf-32-le"),
    "UTF-32 BE": (codecs.BOM_UTF32_BE, "utf-32-be"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\0"], ids=["LF", "CRLF", "CR", "NUL"])
@pytest.mark.parametrize("last", [True, False])
def test_every_encoding_and_end_of_line(here, encoding, end, last):
    mark, name = ENCODINGS[encoding]
    text = end.join(NAMES) + (end if last else "")
    assert read(mark + text.encode(name), null=end == "\0") == list(NAMES)


@pytest.mark.parametrize(
    "line", ["a.jpg \r", "a.jpg\t ", '"a.jpg"\r', "\N{ZERO WIDTH NO-BREAK SPACE}a.jpg", "a.jpg\r\r"]
)
def test_what_windows_adds_to_a_name_is_taken_off(here, line):
    assert read(f"{NAMES[1]}\n{line}\n".encode()) == [NAMES[1], "a.jpg"]


def test_backslashes_are_slashes_where_such_a_file_is(here):
    assert read(b'sub\\c d.jpg\r\n"sub\\c d.jpg" \r\n') == ["sub/c d.jpg"] * 2


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_a_name_that_is_there_is_taken_as_it_stands(here):
    odd = ["a.jpg\r", "a.jpg ", '"a.jpg"', "sub\\c d.jpg", "\N{ZERO WIDTH NO-BREAK SPACE}a.jpg"]
    for name in odd:
        Path(name).touch()
    assert read("\n".join(["x", *odd]).encode()) == ["x", *odd]
    assert read("\0".join(odd).encode(), null=True) == odd
    Path("new\rline").touch()
    assert read(b"new\rline") == ["new\rline"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
@pytest.mark.parametrize("null", [False, True])
def test_bytes_that_are_no_utf8(here, null):
    names = [b"\xff\xfdx.jpg", b"Z\xfcrich.png"]
    end = b"\0" if null else b"\n"
    assert [os.fsencode(name) for name in read(b"a.jpg" + end + end.join(names), null=null)][1:] == names


def test_what_is_not_there_keeps_its_name_without_the_end_of_the_line(here):
    assert read(b"gone\\x.jpg \r\nalso gone.jpg\n") == ["gone\\x.jpg", "also gone.jpg"]


def test_with_null_nothing_is_taken_off(here):
    assert read(b"gone.jpg\r\0gone.jpg \0", null=True) == ["gone.jpg\r", "gone.jpg "]


def test_stdin(here, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(codecs.BOM_UTF8 + b"a.jpg\r\n")))
    assert read_file_list("-", null=False) == (Path("a.jpg"),)


@pytest.mark.parametrize("content", [b"", b"\n\r\n \n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\r"])
def test_an_empty_list(here, content):
    with pytest.raises(UsageError, match="lists no file"):
        read(content)


@pytest.mark.parametrize(
    "content", [codecs.BOM_UTF16_LE + b"a\0.", codecs.BOM_UTF16_BE + b"\xd8\0\0a", codecs.BOM_UTF32_LE + b"a"]
)
def test_a_damaged_list(here, content):
    with pytest.raises(UsageError, match="save the list as UTF-8"):
        read(content)


@pytest.mark.parametrize("content", [b"a.jpg\0b.jpg\0", "a.jpg\r\n".encode("utf-16-le")])
def test_nul_where_there_should_be_none(here, content):
    with pytest.raises(UsageError, match=r"add -0.*UTF-16 without a byte order mark"):
        read(content)


def test_a_list_that_is_not_there(here):
    with pytest.raises(NoSuchPath, match="gone"):
        read_file_list("gone", null=False)
    with pytest.raises(UsageError, match="can't be read"):
        read_file_list("sub", null=False)

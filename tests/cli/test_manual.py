"""The manual page: it is of the program as it is, and man can read it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ulecli.cli import main
from ulecli.errors import ExitCode


@pytest.fixture
def page(capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["man"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize("command", [("protect",), ("surrogate", "train"), ("surrogate", "list")])
def test_every_option_is_there(page, capsys, command):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    told = options_in(capsys.readouterr().out)
    section = page.replace("\\-", "-").partition(f".SH {' '.join(('ulecli', *command)).upper()}\n")[2]
    assert section and told - {"--help"} <= options_in(section.partition(".SH")[0])


def test_every_exit_code_is_there(page):
    codes = page.partition(".SH EXIT STATUS")[2]
    assert [int(code) for code in re.findall(r"^\.B (\d+)$", codes, re.MULTILINE)] == sorted(ExitCode)


def test_no_line_is_taken_for_an_order_by_chance(page):
    orders = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert orders <= {".TH", ".SH", ".B", ".PP", ".TP", ".nf", ".fi"}


@pytest.mark.skipif(not shutil.which("man"), reason="there is no man here")
def test_man_renders_it(page):
    done = subprocess.run(["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True)
    if done.returncode and "invalid" in done.stderr:
        pytest.skip("this man takes no file")
    assert done.returncode == 0 and done.stderr == ""
    for words in ("ULECLI(1)", "ulecli protect photos --in-place --backup originals", "EXIT STATUS"):
        assert words in re.sub(".\b", "", done.stdout)

"""The manual page: it is of the program as it is, and man can read it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from conftest import ROOT

from ulecli.cli import main
from ulecli.errors import ExitCode


def run(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def page(capsys) -> str:
    return run(capsys, "man")


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


COMMANDS = [
    *(("protect",), ("verify",), ("report",), ("evaluate",)),
    *(("surrogate", name) for name in ("list", "show", "verify", "train", "export")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_there(page, capsys, command):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    help = capsys.readouterr().out
    assert "\\b" not in help and "\b" not in help
    reported = options_in(re.sub(r"-\n +", "-", help))  # where a line was broken within a name
    section = page.replace("\\-", "-").partition(f".SH {' '.join(('ulecli', *command)).upper()}\n")[2]
    assert section and reported - {"--help"} <= options_in(section.partition(".SH")[0])


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


@pytest.mark.parametrize("command", ["protect", "evaluate"])
def test_the_readme_tells_the_options_that_there_are(capsys, command):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = f"<!-- ulecli man --markdown {command} -->\n", "<!-- end -->"
    assert readme.count(begin) == 1
    reported = readme.partition(begin)[2].partition(end)[0]
    assert reported.strip() == run(capsys, "man", "--markdown", command).strip()


def test_tables(capsys):
    reported = run(capsys, "man", "--markdown", "protect")
    assert (
        "| `--eps N` |" in reported
        and "| `--files-from FILE\\|-` |" in reported
        and "| 130 | interrupted" in reported
    )
    with pytest.raises(SystemExit) as ended:
        main(["man", "--markdown", "protest"])
    assert ended.value.code == ExitCode.USAGE

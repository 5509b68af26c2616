"""`ulecli man`: the manual page and the README's tables, made from the commands so that they can't differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ulecli import __version__
from ulecli.cli.exit_codes import MEANINGS, exit_codes
from ulecli.errors import UsageError


def man(
    context: typer.Context,
    markdown: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Print the options and exit codes of a command as Markdown."),
    ] = None,
) -> None:
    """Print the manual page, for man -l - or /usr/share/man/man1/ulecli.1."""
    root: Any = context.find_root()
    if markdown is None:
        typer.echo(page(root))
        return
    name = tuple(markdown.split())
    command = dict(_commands(root.command, ())).get(name)
    if command is None:
        raise UsageError(f"there is no command {markdown!r}; ulecli --help lists them")
    typer.echo(tables(command, type(root)(command, info_name=f"ulecli {markdown}"), " ".join(name)))


def page(context: Any) -> str:
    """Return the manual page of a program, in the language of man(7).

    Args:
        context: Of its root command.
    """
    root = context.command
    lines = [
        f'.TH ULECLI 1 "" "ulecli {__version__}" "User Commands"',
        ".SH NAME",
        f"ulecli \\- {_roff(_first_sentence(root.help or ''))}",
        ".SH SYNOPSIS",
        ".B ulecli",
        "COMMAND [OPTION]... [ARGUMENT]...",
    ]
    for name, command in _commands(root, ()):
        full = " ".join(("ulecli", *name))
        lines += _section(full, command, type(context)(command, info_name=full))
    lines += [".SH EXIT STATUS"]
    for code, words in MEANINGS.items():
        lines += [".TP", f".B {int(code)}", _roff(words)]
    return "\n".join(lines)


def tables(command: Any, context: Any, name: str) -> str:
    """Return the options and the exit codes of a command as two tables in Markdown.

    Args:
        command: A click command.
        context: Of that command.
        name: Of that command, without "ulecli".
    """
    lines = ["| option | |", "|---|---|"]
    lines += [f"| `{_cell(names)}` | {_cell(words)} |" for names, words in _options(command, context)]
    lines += ["", "| exit code | |", "|---|---|"]
    lines += [f"| {int(code)} | {words} |" for code, words in exit_codes(name).items()]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _options(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    """Yield the spellings of each option with what it takes, and its help."""
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option" and (record := parameter.get_help_record(context)):
            yield record[0], " ".join(record[1].split())


def _commands(command: Any, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the commands that do something, each with its full name."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, one in below.items():
        if not one.hidden:
            yield from _commands(one, (*name, word))


def _section(name: str, command: Any, context: Any) -> Iterator[str]:
    yield f".SH {_roff(name.upper())}"
    yield f".B {_roff(name)}"
    yield _roff(" ".join(command.collect_usage_pieces(context)))
    yield from _prose(command.help or "")
    for names, words in _options(command, context):
        yield from (".TP", f".B {_roff(names)}", _roff(words))
    yield from _prose(command.epilog or "")


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs; one that begins with a backspace keeps its lines, as in the help."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0].strip() == "\b":
            yield from (".PP", ".nf", *(_roff(line) for line in lines[1:]), ".fi")
        else:
            yield from (".PP", _roff(" ".join(line.strip() for line in lines)))


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _roff(text: str) -> str:
    """Escape what man would take for its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\\&" + text if text.startswith((".", "\\(aq")) else text

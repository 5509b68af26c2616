"""The command line: parse, call one function, show the result.

Only typer, the standard library and modules that import nothing heavy are imported here and at the top of
each command, so that `ulecli --help` answers at once; everything else is imported in the body of the command
that needs it.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from ulecli import __version__
from ulecli.cli import surrogate
from ulecli.cli.craft import craft
from ulecli.cli.evaluate import evaluate
from ulecli.cli.exit_codes import epilog
from ulecli.cli.manual import man
from ulecli.cli.protect import protect
from ulecli.cli.report import report
from ulecli.cli.verify import verify
from ulecli.errors import UleError

app = typer.Typer(
    name="ulecli",
    help="Make photos useless as training data for image classifiers, and measure that it works.",
    epilog="Exit codes: 0 done, 1 to 12 failed, 130 interrupted; each command's --help lists its own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # an unknown error is ours: show the plain traceback
    rich_markup_mode=None,  # plain help needs no rich and answers in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ulecli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


# A command here, or `app.add_typer(module.app, name=...)` for a group of them.
for command in (protect, verify, report, evaluate, craft):
    app.command(epilog=epilog(command.__name__))(command)
app.command(hidden=True, epilog=epilog("man"))(man)
app.add_typer(surrogate.app, name="surrogate")


def _open_standard_streams() -> None:
    """Point streams that the caller closed at the null device.

    Python prints to stdout what is meant for a stderr that is closed, and the next file that is opened would
    get the number of the stream, and with it what libraries write there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: that of the stream
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8", closefd=False))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and exit; the only place where errors become a line and an exit code."""
    _open_standard_streams()
    # Pillow warns of odd metadata on stderr; what matters of it is in the outcomes.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    try:
        app(args=arguments, prog_name="ulecli")
    except UleError as error:
        print(
            f"ulecli: error: {' '.join(str(error).split())}", file=sys.stderr
        )  # one line, whatever it quotes
        sys.exit(error.exit_code)
    except OSError as error:  # stdout's disk is full, the working folder is gone
        print(f"ulecli: error: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)

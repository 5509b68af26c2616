"""What `ulecli evaluate` was asked for: carried out, watched, and printed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ulecli.cli.console import say
from ulecli.cli.evaluate_progress import listening
from ulecli.errors import NoVerdict, shown

if TYPE_CHECKING:
    from ulecli.evaluation.config import EvaluateConfig
    from ulecli.evaluation.run import Evaluation


def run_evaluation(config: EvaluateConfig, form: str, *, quiet: bool) -> None:
    """Train, and print what came out; after Ctrl-C what is done of it.

    Args:
        config: What to do.
        form: How results are written.
        quiet: No progress and no remarks.

    Raises:
        NoVerdict: Nothing follows for some exploiter from what was trained, which is printed first.
        Interrupted: Ctrl-C.
        UleError: As of `ulecli.evaluation.run.evaluate`.
    """
    from ulecli.evaluation.run import Interrupted, evaluate

    try:
        with listening(quiet=quiet) as listener:
            done = evaluate(config, listener)
    except Interrupted as error:
        if error.done.records:
            say(f"interrupted: what follows is the {len(error.done.records)} trainings that are done")
            with contextlib.suppress(NoVerdict):  # there are more reasons for none now
                _print(error.done, config, form, quiet=True)
        say(_kept(config.out))
        raise
    _print(done, config, form, quiet)


def run_audit(config: EvaluateConfig, form: str, *, quiet: bool) -> None:
    """Print what is in the poisons that an evaluation would train on; the arguments are as above.

    Raises:
        NoVerdict: No verdict can come of some of them, which are printed first.
        UleError: As of `ulecli.evaluation.auditing.audited`.
    """
    from ulecli.evaluation.auditing import audited
    from ulecli.evaluation.results.audits import render_audits
    from ulecli.evaluation.results.scores import data_doubts

    with listening(quiet=quiet) as listener:
        found = audited(config, listener.preparing if listener else None)
    audits = {one.name: ({**(one.audit or {}), "warnings": one.warnings}) for one in found}
    print(render_audits(audits, form))
    if doubts := [
        f"{shown(name)}: {'; '.join(data_doubts(one))}" for name, one in audits.items() if data_doubts(one)
    ]:
        raise NoVerdict(f"no verdict can come of {'. '.join(doubts)}")


def _kept(out: Path | None) -> str:
    """Return what is left of an evaluation that was interrupted."""
    if out is None:
        return "interrupted; without --out nothing is kept"
    return f"interrupted; what is done is kept: go on with --out {shown(out)} --resume"


def _print(done: Evaluation, config: EvaluateConfig, form: str, quiet: bool) -> None:
    from ulecli.evaluation.results.each_tables import render_each
    from ulecli.evaluation.results.tables import render
    from ulecli.evaluation.results.verdict import withheld

    for note in done.notes:
        say(f"note: {note}")
    encoding = sys.stdout.encoding or "ascii"
    if config.each:
        print(render_each(done.records, form, encoding=encoding))
    else:
        print(render(done.records, form, recalls_for=config.named, encoding=encoding))
    if config.out and not quiet:
        names = ("results.jsonl", "curves.png", "curves.svg", "gallery.png")
        made = [name for name in names if (config.out / name).exists()]
        say(f"kept in {shown(config.out)}: {', '.join(made)}")
    if not config.each and (unjudged := withheld(done.records, config.named)):
        raise NoVerdict(f"no verdict on {'. '.join(unjudged)}")

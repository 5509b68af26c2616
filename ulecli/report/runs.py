"""What a run did, from whatever it left behind: its ledger, its saved `--json` lines, or the files alone."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ulecli.errors import NothingToDo, PhotoError, PhotoSkipped, UsageError, shown
from ulecli.formats import audit
from ulecli.formats.registry import PICTURE_SUFFIXES
from ulecli.protection import pairs as pairing
from ulecli.protection.entry import Entry
from ulecli.protection.ledger import NAME, reading
from ulecli.protection.outcome import PhotoOutcome, Status
from ulecli.protection.pairs import Pair, pair_up
from ulecli.system.database import run_in_progress
from ulecli.system.isolated import IsolatedWorker, Pool
from ulecli.system.limits import DEFAULT_TIMEOUT
from ulecli.system.plain_data import BadMessage, Message
from ulecli.system.serving import Ask, Handler
from ulecli.units import MAX_EPSILON


@dataclass(frozen=True)
class Run:
    """A run, or all runs into one output.

    Attributes:
        name: Of the output, for the heading.
        outcomes: One for each photo, sorted by source.
        epsilon: The bound in levels; None if it is not known or not the same for all.
        surrogate: Name and first digits of the sha256; empty if it is not known.
        in_progress: A run was writing into the output when this was read; there may be more by now.
    """

    name: str
    outcomes: tuple[PhotoOutcome, ...]
    epsilon: int | None = None
    surrogate: str = ""
    in_progress: bool = False

    def of(self, status: Status) -> list[PhotoOutcome]:
        """Return the photos that ended so."""
        return [outcome for outcome in self.outcomes if outcome.status is status]


def from_ledger(output: Path) -> Run:
    """Read what all runs into an output did from the ledger in it.

    Args:
        output: The root of the output, or the ledger itself.

    Raises:
        UsageError: There is no ledger.
        LedgerError: It is damaged, or of a newer ulecli.
    """
    path = output if output.is_file() else output / NAME
    if output.is_file() and output.suffix.lower() in PICTURE_SUFFIXES:
        path = output.with_name(NAME)  # of `protect photo.jpg -o protected.jpg`
    if not path.is_file():
        raise UsageError(
            f"there is no ledger in {shown(output)}; name the originals with --original, or what "
            "protect --json wrote with --run"
        )
    in_progress = run_in_progress(path)
    with reading(path) as ledger, ledger.snapshot():
        entries, problems = ledger.entries(), ledger.problems()
    parameters = [_parameters(entry) for entry in entries]
    return Run(
        output.absolute().name,
        _sorted([entry.as_outcome() for entry in entries] + problems),
        _same([it.get("epsilon") for it in parameters]),
        _same([it.get("surrogate") for it in parameters]) or "",
        in_progress,
    )


def from_json(path: Path) -> Run:
    """Read what a run did from the lines that `protect --json` wrote.

    Raises:
        UsageError: They are not such lines.
        OSError: The file can't be read.
    """
    outcomes, summary = [], dict[str, Any]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            if record["type"] == "photo":
                outcomes.append(_outcome(record))
            elif record["type"] == "summary":
                summary = record
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"line {number} of {shown(path)} is not what protect --json writes; name a file that it wrote"
            ) from error
    return Run(path.name, _sorted(outcomes), summary.get("epsilon"), str(summary.get("surrogate", "")))


def from_pairs(original: Path, protected: Path, *, jobs: int = 1, timeout: float = DEFAULT_TIMEOUT) -> Run:
    """Find out from the files alone what became of each photo in a folder; nothing is measured.

    Args:
        original: The folder of the originals, or a photo.
        protected: The folder of the protected ones, or a photo.
        jobs: Files that are looked into at the same time, in processes of their own.
        timeout: Seconds that one file may take; 0 for any.

    Raises:
        NoSuchPath: One of them does not exist.
        NothingToDo: There is no photo in `original`.
        UsageError: One is a file and the other a folder.
    """
    pairs = pair_up(original, protected)
    written = [pair.protected for pair in pairs if pair.protected]
    marks = Pool("ulecli.report.runs:mark_handler", jobs, timeout=timeout).map(_epsilon_in, written)
    epsilon = _same([epsilon for epsilon in marks if epsilon])
    outcomes = _sorted([_of_pair(pair) for pair in pairs])
    in_progress = pairing.run_in_progress(protected)
    return Run(protected.absolute().name, outcomes, epsilon, in_progress=in_progress)


def mark_handler() -> Handler:
    """Return what looks for the mark of a file for each request, in the process of a worker."""

    def handle(request: Message, ask: Ask) -> Message:
        mark = audit.mark_in(Path(request["path"]))
        return {"epsilon": mark.epsilon if mark else 0}

    return handle


def _epsilon_in(worker: IsolatedWorker, path: Path) -> int:
    """Return the bound that the mark of a file names, in levels; 0 if it bears none or can't be read."""

    def checked(content: Message) -> int:
        epsilon = content.get("epsilon")
        if type(epsilon) is not int or not 0 <= epsilon <= MAX_EPSILON:
            raise BadMessage("names no bound")
        return epsilon

    try:
        return worker.call({"path": os.fspath(path)}, checked)
    except (PhotoError, PhotoSkipped):
        return 0


def check_not_empty(run: Run) -> None:
    """Check that there is something to show.

    Raises:
        NothingToDo: The run had no photo.
    """
    if not run.outcomes:
        raise NothingToDo(f"there is no photo in the records of {shown(run.name)}; protect some first")


def _of_pair(pair: Pair) -> PhotoOutcome:
    if pair.protected is None:
        return PhotoOutcome(pair.original, None, Status.FAILED, "has no protected copy")
    return PhotoOutcome(pair.original, pair.protected, Status.WRITTEN)


def _outcome(record: Mapping[str, Any]) -> PhotoOutcome:
    known = {field.name for field in fields(PhotoOutcome)}
    values = {name: value for name, value in record.items() if name in known}
    values |= {
        "source": _path(record, "source"),
        "target": _path(record, "target") if record.get("target") else None,
        "status": Status(record["status"]),
    }
    return PhotoOutcome(**values)


def _path(record: Mapping[str, Any], name: str) -> Path:
    if whole := record.get(f"{name}_bytes"):
        try:
            return Path(os.fsdecode(base64.b64decode(whole, validate=True)))
        except binascii.Error as error:
            raise ValueError(name) from error
    return Path(record[name])


def _parameters(entry: Entry) -> Mapping[str, Any]:
    found = json.loads(entry.parameters)
    return found if isinstance(found, dict) else {}


def _same(values: Sequence[Any]) -> Any:
    """Return the value if all are the same, else None."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _sorted(outcomes: Sequence[PhotoOutcome]) -> tuple[PhotoOutcome, ...]:
    return tuple(sorted(outcomes, key=lambda outcome: outcome.source))

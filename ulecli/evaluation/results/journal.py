"""Finished runs on the disk, so that nothing is trained twice and no two configurations are mixed.

`OUT/run.json` holds what all runs of the folder have in common, `OUT/results.jsonl` one record a line, and
`OUT/run.lock` is locked by the process that works there. A line is one write to a file opened for appending,
followed by fsync: a process that is killed leaves whole lines and at most one torn one at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ulecli.errors import TargetError, shown
from ulecli.evaluation.results.record import SCHEMA, RunRecord, plain
from ulecli.system.atomic import replacing, sync_folder
from ulecli.system.writing import unwritable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

RESULTS, RUN, LOCK = "results.jsonl", "run.json", "run.lock"


class Journal:
    """The records of one folder; open it with `Journal.open`, and close it or use it in a with statement.

    Attributes:
        path: The file of records.
        notes: What the user should know about it, one line each.
    """

    def __init__(self, path: Path) -> None:
        """Lock and read a file of records; missing folders and the file itself are made.

        Args:
            path: The file.

        Raises:
            TargetError: It can't be written, another process works there, or a line of it is damaged.
        """
        self.path = path
        self.notes: tuple[str, ...] = ()
        self._records: dict[str, RunRecord] = {}
        self._descriptors: list[int] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock(path.with_name(LOCK))
            # O_BINARY: Windows would turn every \n into two bytes.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags, 0o666)
            self._descriptors.append(self._file)
            sync_folder(path.parent)
            self._read()
        except OSError as error:
            self.close()
            raise unwritable(path.parent, error) from error
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, out: Path, fingerprint: Mapping[str, Any], *, resume: bool) -> Journal:
        """Open the journal of a folder for one configuration.

        Args:
            out: The folder; it need not exist.
            fingerprint: What all runs of the folder have in common, such as data, poison and preset. What may
                be added later, such as a seed, is left out: the key of a run distinguishes it from others.
            resume: Take up the runs that are there already.

        Raises:
            TargetError: The folder can't be written, another process works there, a file in it is damaged, it
                is of another configuration, or it holds results and `resume` is false.
        """
        journal = cls(out / RESULTS)
        try:
            journal._claim(plain(fingerprint), resume)
        except BaseException:
            journal.close()
            raise
        return journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and give the lock back; a second call does nothing."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """All finished runs, in the order in which they ended."""
        return tuple(self._records.values())

    def find(self, key: str) -> RunRecord | None:
        """Return the finished run of this key (`results.record.run_key`), if there is one."""
        return self._records.get(key)

    def add(self, record: RunRecord) -> None:
        """Append a record; when this returns, it is on the disk, and when it raises, no part of it stays.

        Raises:
            TargetError: It can't be written, for instance because the disk is full.
        """
        line = json.dumps(record.to_json(), allow_nan=False).encode("ascii") + b"\n"
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):  # a disk that fills up takes a part and says no only to the rest
                os.write(self._file, line[written:])
            os.fsync(self._file)
        except BaseException as error:
            if os.fstat(self._file).st_size != before + len(line):
                os.ftruncate(self._file, before)
            if isinstance(error, OSError):
                raise unwritable(self.path, error) from error
            raise
        self._records[record.key] = record

    def _lock(self, path: Path) -> None:
        """Hold a lock that the system takes back when the process ends, however it ends."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._descriptors.append(descriptor)
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise TargetError(
                f"another evaluation is at work in {shown(path.parent)}: wait for it or name another --out"
            ) from error
        except OSError:  # some network file systems know no locks
            self.notes += (f"{shown(path.parent)} can't be locked: start no second evaluation there",)

    def _read(self) -> None:
        *lines, tail = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                self._remember(line)
            except ValueError as error:
                raise TargetError(
                    f"{shown(self.path)}, line {number} is damaged ({error}): "
                    "remove the line to train that run again, or name another --out"
                ) from error
        if tail:
            self._mend(tail)

    def _remember(self, line: bytes) -> None:
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError("it is no JSON object")
        record = RunRecord.from_json(entry)
        self._records[record.key] = record

    def _mend(self, tail: bytes) -> None:
        """Give a last line its end if that is all it lacks, else cut it off once it lies elsewhere."""
        try:
            self._remember(tail)
        except ValueError:
            aside = self.path.with_name(self.path.name + ".torn")
            with aside.open("ab") as file:
                file.write(tail + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(tail))
            self.notes += (f"the last line of {shown(self.path)} was torn; it now lies in {shown(aside)}",)
        else:
            os.write(self._file, b"\n")
        os.fsync(self._file)

    def _claim(self, fingerprint: dict[str, Any], resume: bool) -> None:
        """Make the folder one of this configuration, or see that it is."""
        run, out = self.path.with_name(RUN), shown(self.path.parent)
        if not run.exists():
            if self._records:
                raise TargetError(
                    f"{out} holds {RESULTS} without {RUN}, so nobody knows of what: name another --out"
                )
            try:
                with replacing(run) as part:
                    entry = {"schema": SCHEMA, "fingerprint": fingerprint}
                    part.write_text(json.dumps(entry, indent=2, allow_nan=False) + "\n", encoding="ascii")
            except OSError as error:
                raise unwritable(run, error) from error
            sync_folder(run.parent)
            return
        if differing := sorted(_differences(_fingerprint(run), fingerprint)):
            raise TargetError(
                f"{out} is of another configuration ({'; '.join(differing)}): name another --out"
            )
        if self._records and not resume:
            raise TargetError(
                f"{out} holds {len(self._records)} results already: go on with --resume or name another --out"
            )


def _fingerprint(run: Path) -> dict[str, Any]:
    try:
        entry = json.loads(run.read_bytes())
        if entry["schema"] != SCHEMA:
            raise ValueError(f"its schema is {entry['schema']!r}, and this ulecli reads {SCHEMA}")
        return dict(entry["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{shown(run)} can't be read ({error!r}): name another --out") from error


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield in words every key, dotted where mappings are nested, whose values differ."""
    for name in there.keys() | here.keys():
        old, new = there.get(name), here.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}: {_brief(old)} there, {_brief(new)} here"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

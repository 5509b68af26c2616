"""What changes in watched folders, also after one of them was gone for a while: a disk, a network share."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ulecli.errors import UleError, shown
from ulecli.protection.mounts import Mount, mount_of, mounts_around

_MAX_FAILURES = 5


@dataclass(frozen=True)
class Changes:
    """What is new since the last look.

    Attributes:
        files: Files that may have appeared or changed, by the paths that a walk of the sources gives.
        remarks: What the person should know at once.
    """

    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Folder:
    """A folder as it is now; another one of the same name, or the same on another mount, is not equal."""

    real: Path
    device: int
    number: int
    mounts: tuple[Mount, ...]


def changes(
    sources: Sequence[Path], stop: threading.Event, tick: float, *, recursive: bool
) -> Iterator[Changes]:
    """Yield what changes in folders, or that nothing has, at least once in every tick.

    A folder that goes is remarked upon; when there is one of its name again, all of its files count as
    changed. The system says nothing of either: it goes on watching the folder that was there at first.

    Args:
        sources: The folders.
        stop: Ends it when it is set.
        tick: Seconds.
        recursive: Watch the folders in them too.

    Raises:
        UleError: The system can't watch them.
    """
    before: Mapping[Path, _Folder] | None = None
    failures, removed = 0, set[Path]()
    while not stop.is_set():
        now = _folders(sources)
        remarks = _on_network(now) if before is None else _differences(sources, before, now, removed)
        lost = before is not None  # what has changed before the system watches again is not known
        before = now
        if not now:
            yield Changes(remarks=remarks)
            while not stop.wait(tick) and not _folders(sources):
                yield Changes()
            continue
        try:
            for reported in _stream(now, stop, tick, recursive=recursive):
                removed = _removed(reported, now)
                if removed or _folders(sources) != now:
                    break
                files = [path for _, name in reported for path in _files(Path(name), now)]
                yield Changes(_all_files(now) if lost else files, remarks)
                failures, lost, remarks = 0, False, []
        except (RuntimeError, OSError) as error:
            # watchfiles gives up at a name that is no text, and at a folder that goes in the wrong moment.
            failures += 1
            if failures > _MAX_FAILURES:
                raise UleError(f"can't watch {', '.join(map(shown, sources))}: {error}") from error


def _folders(sources: Sequence[Path]) -> dict[Path, _Folder]:
    """Return those of the sources that are folders now."""
    found = {}
    for source in sources:
        try:
            status = source.stat()
        except OSError:
            continue
        if source.is_dir():
            real = Path(os.path.realpath(source))
            found[source] = _Folder(real, status.st_dev, status.st_ino, mounts_around(real))
    return found


def _differences(
    sources: Sequence[Path],
    before: Mapping[Path, _Folder],
    now: Mapping[Path, _Folder],
    removed: Collection[Path],
) -> list[str]:
    remarks = []
    for source in sources:
        if source in before and source not in now:
            remarks.append(
                f"{shown(source)} is gone (was it renamed, or its disk unplugged?); waiting until it is back"
            )
        elif source in now and source not in before:
            remarks.append(f"{shown(source)} is back; watching it again")
        elif source in now and (source in removed or before[source] != now[source]):
            remarks.append(f"{shown(source)} is another folder or disk now; watching that one")
    return remarks


def _on_network(now: Mapping[Path, _Folder]) -> list[str]:
    return [
        f"{shown(source)} is on a network share ({mount.type}), which does not report what other machines "
        "put there: that is seen within an hour, or at once if WATCHFILES_FORCE_POLLING=1 is set"
        for source, folder in now.items()
        if (mount := mount_of(folder.real)) and mount.is_network
    ]


def _removed(reported: set[tuple[object, str]], now: Mapping[Path, _Folder]) -> set[Path]:
    """Return the sources that were removed themselves; a new one can look just like the old one."""
    from watchfiles import Change

    return {source for source, folder in now.items() if (Change.deleted, str(folder.real)) in reported}


def _stream(
    folders: Mapping[Path, _Folder], stop: threading.Event, tick: float, *, recursive: bool
) -> Iterator[set[tuple[object, str]]]:
    from watchfiles import watch

    return watch(  # type: ignore[return-value]
        *(folder.real for folder in folders.values()),
        watch_filter=None,
        debounce=200,
        step=50,
        stop_event=stop,
        rust_timeout=max(50, int(tick * 1000)),
        yield_on_timeout=True,
        recursive=recursive,
    )


def files_below(sources: Sequence[Path]) -> list[Path]:
    """Return the files in those of the folders that are there."""
    return _all_files(_folders(sources))


def _all_files(folders: Mapping[Path, _Folder]) -> list[Path]:
    return [path for folder in folders.values() for path in _files(folder.real, folders)]


def _files(changed: Path, folders: Mapping[Path, _Folder]) -> Iterator[Path]:
    """Name the files that a report of the system may mean, by the paths that a walk of the sources gives."""
    for source, folder in folders.items():
        if not changed.is_relative_to(folder.real):
            continue
        inner = changed.relative_to(folder.real)
        if any(part.startswith(".") for part in inner.parts):
            continue
        if changed.is_dir() and not changed.is_symlink():  # moved here with all that is in it
            for parent, _, names in os.walk(source / inner):
                yield from (Path(parent, name) for name in names)
        else:
            yield source / inner

"""Protect a large library with one run of `ulecli protect` and print what that takes.

    python benchmarks/library_run.py
    python benchmarks/library_run.py --files 2000 --jobs 4 --json runs/library.json

The library is made from the photos in ULECLI_SHARED, every file different: one in 50 is a camera photo, the
others are small, so that what each file costs by itself weighs as much as it can. The memory is that of the
command with all its worker processes, looked at ten times a second; what they share is counted once.

Start-up is reported twice: a whole run over one tiny photo (median of 5), and the time until the first photo
of the library, a small one, is done; all files have been found and their places chosen by then. So is the
overhead of the ledger: the records of the run, asked for and entered once more in a new ledger and asked for
again when it is full; and a whole second run that has nothing to do. The files are in the system's cache.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from library import make_library
from PIL import Image
from processes import AT_HAND, MemoryWatch
from tables import Row, markdown, write_json
from timing import conditions, seconds

from ulecli.protection.ledger import NAME, opened

PACKAGES = ("ulecli", "onnxruntime", "pillow", "numpy")
PARTS = {"first tenth": (0, 0.1), "middle tenth": (0.45, 0.55), "last tenth": (0.9, 1), "whole run": (0, 1)}
"""Of the run, by the share of the photos that are done."""


def protect(source: Path, output: Path, jobs: int) -> list[str]:
    """Return the command that protects a folder, on the CPU and with a key of its own."""
    options = ["-o", str(output), "--jobs", str(jobs), "--device", "cpu", "--json", "--quiet"]
    return [sys.executable, "-m", "ulecli", "protect", str(source), *options, "--key-file", f"{output}.key"]


def watched(source: Path, output: Path, jobs: int) -> Row:
    """Protect a library; return how long that took and what memory it had."""
    began, first, records = time.perf_counter(), 0.0, []
    with (
        subprocess.Popen(protect(source, output, jobs), stdout=subprocess.PIPE) as process,
        MemoryWatch(process.pid) as watch,
    ):
        assert process.stdout
        for line in process.stdout:
            first = first or time.perf_counter() - began
            records.append(json.loads(line))
            watch.done = len(records)
    whole, summary = time.perf_counter() - began, records.pop()
    if process.returncode or summary["written"] != len(records):
        raise SystemExit(f"only {summary['written']} of {len(records)} photos were protected")
    memory = {}
    for name, (start, end) in PARTS.items():
        sizes = [size for done, size in watch.seen if start <= done / len(records) <= end]
        memory[name] = {"median": median(sizes), "peak": max(sizes)}
    return {"files": len(records), "jobs": jobs, "seconds": whole, "first_photo_s": first, "memory": memory}


def start_up(scratch: Path, jobs: int) -> float:
    """Return the seconds of a whole run over one tiny photo."""
    tiny = scratch / "tiny"
    tiny.mkdir()
    Image.new("RGB", (16, 16)).save(tiny / "1.jpg")
    cores = os.cpu_count() or 1
    return median(seconds(protect(tiny, scratch / f"out {turn}", jobs), cores=cores) for turn in range(5))


def replayed(ledger: Path, scratch: Path) -> tuple[float, float]:
    """Enter the photos of a ledger into a new one, then find them done there; return milliseconds a photo."""
    with opened(ledger) as source:
        entries = [
            replace(entry, target=scratch / entry.target.relative_to(ledger.parent))
            for entry in source.entries()
        ]
    began = time.perf_counter()
    with opened(scratch / NAME) as copy:
        for entry in entries:
            copy.by_source(entry.source)
            copy.by_target(entry.target)
            copy.by_target(entry.target)
            copy.intend(entry)
            copy.finish(entry)
    middle = time.perf_counter()
    with opened(scratch / NAME) as copy:
        for entry in entries:  # as often as a run asks for each
            assert copy.by_source(entry.source) == [entry] == [copy.by_target(entry.target)]
            copy.by_target(entry.target)
    end = time.perf_counter()
    return 1000 * (middle - began) / len(entries), 1000 * (end - middle) / len(entries)


def measure(files: int, jobs: int, shared: Path, scratch: Path) -> Row:
    """Make the library, protect it twice, and return all figures."""
    source, output = scratch / "library", scratch / "protected"
    made = make_library(source, files, shared)
    print(f"{files} photos, {sum(path.stat().st_size for path in made) / 1e6:.0f} MB; protecting", flush=True)
    found = watched(source, output, jobs)
    tiny = start_up(scratch, jobs)
    again = seconds(protect(source, output, jobs), cores=os.cpu_count() or 1)
    enter, find = replayed(output / NAME, scratch / "copy")
    return found | {
        "tiny_run_s": tiny,
        "second_run_s": again,
        "second_run_ms": 1000 * (again - tiny) / files,
        "ledger_enter_ms": enter,
        "ledger_find_ms": find,
    }


def table(found: Row) -> str:
    """Return the figures as a Markdown table."""
    rate = found["files"] / found["seconds"]
    rows = [
        ["whole run", f"{found['seconds']:.0f} s, {rate:.1f} photos/s with {found['jobs']} jobs"],
        *([f"memory, {name}", _memory(**sizes)] for name, sizes in found["memory"].items()),
        ["start-up: a run over one tiny photo", f"{found['tiny_run_s']:.2f} s"],
        ["start-up: until the first photo is done", f"{found['first_photo_s']:.2f} s"],
        ["ledger: look a new photo up and enter it", f"{found['ledger_enter_ms']:.3f} ms"],
        ["ledger: look up a photo that is done", f"{found['ledger_find_ms']:.3f} ms"],
        ["second run, nothing to do", f"{found['second_run_s']:.2f} s"],
        ["the same a photo, start-up subtracted", f"{found['second_run_ms']:.3f} ms"],
    ]
    return markdown([f"{found['files']} photos", ""], rows)


def _memory(median: float, peak: float) -> str:
    return f"{median / 2**20:.0f} MiB at the median, at most {peak / 2**20:.0f} MiB"


def main() -> None:
    """Parse the options, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2, help="photos in work at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if not AT_HAND:
        raise SystemExit("the memory of processes is read from /proc, which only Linux has")
    print(conditions(*PACKAGES))
    with tempfile.TemporaryDirectory() as scratch:
        shared = Path(os.environ.get("ULECLI_SHARED", "../shared"))
        found = measure(options.files, options.jobs, shared, Path(scratch))
    print(table(found))
    if options.json:
        write_json(options.json, found, *PACKAGES)


if __name__ == "__main__":
    main()

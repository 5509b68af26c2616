"""Kill `ulecli protect` three times in the middle of a library, resume it, and verify what it has made.

    python benchmarks/killed_run.py
    python benchmarks/killed_run.py --in-place --files 3000 --kills 5 --seed 1

The library is made from the photos in ULECLI_SHARED, every file different. The command and its workers are
killed with SIGKILL, all at once, at random moments that the seed decides. After each kill every file that
bears the name of a result has to be whole and marked as protected, or, with --in-place, be the photo itself;
in that case the photos that were replaced have to lie in the backup as they were. The next run has to leave
just these as they are, and goes on. At the end no temporary file may be left, no photo may have changed, and
`ulecli verify` measures every pair. Anything else ends the script with an error. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from library import make_library
from PIL import Image
from processes import AT_HAND, kill
from tables import Row, markdown
from timing import conditions

from ulecli.formats.audit import is_protected

PACKAGES = ("ulecli", "onnxruntime", "pillow", "numpy")


@dataclass(frozen=True)
class Library:
    """What is protected, and where to.

    Attributes:
        root: The photos.
        output: The protected photos; the same folder for in place.
        originals: Where the photos are as they were, sooner or later: `root`, or the backup.
        content: The sha256 of each photo, by its path below `root`.
    """

    root: Path
    output: Path
    originals: Path
    content: dict[Path, bytes]

    def command(self, jobs: int) -> list[str]:
        """Return the command that protects it, on the CPU and with a key of its own."""
        where = ["-o", str(self.output)]
        if self.output == self.root:
            where = ["--in-place", "--backup", str(self.originals)]
        options = ["--jobs", str(jobs), "--device", "cpu", "--json", "--quiet"]
        key = ["--key-file", str(self.root.with_name("key"))]
        return [sys.executable, "-m", "ulecli", "protect", str(self.root), *where, *options, *key]

    def states(self) -> Counter[str]:
        """Count the photos by what is found of each: whole, half, lost, or none of a result."""
        return Counter(self._state(self.output / inner, inner) for inner in self.content)

    def _state(self, path: Path, inner: Path) -> str:
        in_place = self.output == self.root
        if not path.exists():
            return "lost" if in_place else "none"
        if in_place and digest(path) == self.content[inner]:
            return "none"
        if not (self.originals / inner).exists() or digest(self.originals / inner) != self.content[inner]:
            return "lost"
        try:
            with Image.open(path) as image:
                image.load()
        except OSError:
            return "half"
        return "whole" if is_protected(path) else "half"

    def parts(self) -> int:
        """Count the temporary files."""
        return sum(1 for root in {self.output, self.originals} for _ in root.rglob("*.part"))


def digest(path: Path) -> bytes:
    """Return the sha256 of a file."""
    return sha256(path.read_bytes()).digest()


def made(scratch: Path, files: int, *, in_place: bool) -> Library:
    """Make the photos."""
    root = scratch / "library"
    photos = make_library(root, files, Path(os.environ.get("ULECLI_SHARED", "../shared")))
    content = {path.relative_to(root): digest(path) for path in photos}
    if in_place:
        return Library(root, root, scratch / "backup", content)
    return Library(root, scratch / "protected", root, content)


def run(library: Library, jobs: int, kill_after: int | None, delay: float = 0.0) -> Row:
    """Protect; kill so many seconds after so many photos have been written, if at all."""
    began, reported = time.perf_counter(), Counter[str]()
    with subprocess.Popen(library.command(jobs), stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            record = json.loads(line)
            reported[record.get("status", "summary")] += 1
            if reported["written"] == kill_after:
                time.sleep(delay)
                kill(process.pid)
                break
    seconds = time.perf_counter() - began
    if kill_after is None and process.returncode:
        raise SystemExit(f"the last run ended with {process.returncode}")
    return {"written": reported["written"], "unchanged": reported["unchanged"], "seconds": seconds}


def killed_and_resumed(library: Library, jobs: int, kills: int, chance: random.Random) -> list[Row]:
    """Kill so many runs, let one come to its end, and return what each did."""
    rows: list[Row] = []
    done = 0
    for turn in range(kills + 1):
        left = len(library.content) - done
        last = turn == kills
        moment = None if last else chance.randint(1, max(1, left // 2))
        row = run(library, jobs, moment, chance.uniform(0, 0.2))
        if row["unchanged"] not in ({done} if last else range(done + 1)):
            raise SystemExit(f"of {done} photos that were done, {row['unchanged']} were left as they are")
        before, states = done, library.states()
        done = states["whole"]
        if states["half"] or states["lost"] or done < before + row["written"]:
            raise SystemExit(f"{before} were done and {row['written']} more reported, but found are {states}")
        rows.append(row | states | {"parts": library.parts()})
        print(f"run {turn + 1}: {done} of {len(library.content)} done", flush=True)
    if done != len(library.content) or rows[-1]["parts"]:
        raise SystemExit(f"{done} photos are done and {rows[-1]['parts']} temporary files left")
    return rows


def verified(library: Library, jobs: int) -> Row:
    """Verify all pairs and return the summary."""
    pair = [str(library.originals), str(library.output)]
    command = [sys.executable, "-m", "ulecli", "verify", *pair, "--json", "--quiet", "--jobs", str(jobs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    summary: Row = json.loads(done.stdout.splitlines()[-1])
    if done.returncode or summary["failed"] or summary["pairs"] != len(library.content):
        raise SystemExit(f"verify ended with {done.returncode}: {summary}")
    return summary


def print_tables(rows: list[Row], summary: Row) -> None:
    """Print what the runs did, and what `ulecli verify` found."""
    heads = ["run", "ended", "seconds", "left as done", "reported as written"]
    heads += ["results there", "half", "photos lost", "temporary files"]
    lines = []
    for number, row in enumerate(rows, 1):
        end = "by itself" if number == len(rows) else "killed"
        names = ("unchanged", "written", "whole", "half", "lost", "parts")
        counts = [row.get(name, 0) for name in names]
        lines.append([str(number), end, f"{row['seconds']:.1f}", *map(str, counts)])
    print(markdown(heads, lines), end="\n\n")
    shares = summary["cue_recognised"].items()
    recognised = ", ".join(f"{name} {number} of {of}" for name, (number, of) in shares)
    found = [
        ["pairs", str(summary["pairs"])],
        ["that fail", str(summary["failed"])],
        [
            "lossless, and their largest change",
            f"{summary['lossless']}, {summary['max_change_lossless']} levels",
        ],
        ["PSNR, median and least", f"{summary['psnr_db_median']:.1f}, {summary['psnr_db_min']:.1f} dB"],
        ["files that reveal too much", str(summary["leaking"])],
        ["the cue is recognised in", recognised],
    ]
    print(markdown(["ulecli verify", ""], found))


def main() -> None:
    """Parse the options, run, verify, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="photos in work at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--in-place", action="store_true", help="replace the photos, with a backup")
    options = parser.parse_args()
    if not AT_HAND:
        raise SystemExit("processes are found in /proc, which only Linux has")
    print(conditions(*PACKAGES))
    with tempfile.TemporaryDirectory() as scratch:
        library = made(Path(scratch), options.files, in_place=options.in_place)
        rows = killed_and_resumed(library, options.jobs, options.kills, random.Random(options.seed))
        print_tables(rows, verified(library, options.jobs))


if __name__ == "__main__":
    main()

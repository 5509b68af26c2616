"""Time what people type, `ulecli evaluate --exploiter gray`, with an empty cache and with what it then holds.

    python benchmarks/own_line.py --cores 2
    python benchmarks/own_line.py --cores 2 -- --exploiter gray --train-images 2000

The lines of progress on stderr say when the images of the default defender are made: printed are the seconds
from the start of the process to that line, imports and reading the data included, and to the end of the last
training. Behind `--` stand the arguments of `ulecli evaluate`. The cache is a folder of its own, which
goes at the end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from timing import bound, conditions

MADE = ("cifar: protecting: ", "cifar: taken from the cache")
"""How the line begins that says that all images are there."""


def timed(arguments: Sequence[str], cache: str) -> tuple[float, float]:
    """Run `ulecli evaluate` and return the seconds until the images are made, and until the end.

    Raises:
        SystemExit: It failed, or said nothing of the images.
    """
    command = [sys.executable, "-m", "ulecli", "evaluate", *arguments]
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    start, made, said = time.perf_counter(), None, list[str]()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stderr or ():
            said.append(line)
            done = line.startswith(MADE[1]) or (line.startswith(MADE[0]) and whole(line))
            if made is None and done:
                made = time.perf_counter() - start
    if process.returncode or made is None:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(said)}")
    return made, time.perf_counter() - start


def whole(line: str) -> bool:
    """Return whether a line of progress, "WHAT: 7,000 of 50,000; ...", says that all is done."""
    done, _, total = line.partition(";")[0].rpartition(": ")[2].strip().partition(" of ")
    return done == total


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("arguments", nargs="*", default=["--exploiter", "gray"])
    options = parser.parse_args()
    print(conditions("torch", "numpy"))
    print(f"ulecli evaluate {' '.join(options.arguments)}, on {options.cores} cores")
    with tempfile.TemporaryDirectory() as cache, bound(options.cores):
        for what in ("empty cache", "again"):
            made, ended = timed(options.arguments, cache)
            print(f"{what:12} images {made:6.0f} s, the whole line {ended:6.0f} s", flush=True)


if __name__ == "__main__":
    main()

"""How many threads are at work, and how the others wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROTECTING = """
import sys
from pathlib import Path
from ulecli import EvaluateConfig, evaluate

def times():
    tasks = Path("/proc/self/task").iterdir()
    return {each.name: int((each / "schedstat").read_text().split()[0]) for each in tasks}

class Listener:
    reported = []

    def __getattr__(self, name):
        return lambda *given: None

    def preparing(self, what, done, total):
        self.reported.append(times())
        if len(self.reported) == 3:
            raise KeyboardInterrupt  # three batches are protected, and that is enough

config = EvaluateConfig(defenders=("cifar",), dataset="shapes", train_images=600, controls=False, jobs=1,
                        threads=int(sys.argv[1]))
try:
    evaluate(config, Listener())
except KeyboardInterrupt:
    first, _, last = Listener.reported
    worked = [time - first.get(thread, 0) for thread, time in last.items()]
    print(sum(time > 0.1 * max(worked) for time in worked))
"""
"""Prints how many threads a defender had at work, by their time on a processor: others had hardly any."""


def python(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_"))}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**known, **environment}, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings this OpenMP only there")
@pytest.mark.parametrize(
    ("chosen", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")], ids=["ours", "theirs"]
)
def test_idle_threads_wait_without_spinning(chosen: dict[str, str], policy: str) -> None:
    reported = python("import ulecli, torch", OMP_DISPLAY_ENV="TRUE", **chosen).stderr
    assert f"OMP_WAIT_POLICY = '{policy}'" in reported


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can list what its threads did")
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_as_many_threads_work_as_were_asked_for(threads: int) -> None:
    assert python(PROTECTING, threads).stdout.split() == [str(threads)]

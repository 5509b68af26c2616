"""Nothing is sent anywhere: no process of ulecli opens a socket, as the kernel sees it, for longer than it
takes onnxruntime to send its first report (ten seconds), and no number for the machine is kept.

The kernel kills every process of the run that asks for a socket, so nothing that a library does can hide.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is Linux's")

LONGER_THAN_TEN_SECONDS = 13

KILLED = """
import os, sys
from ulecli.system.sandbox import KILL, refuse_calls
import ctypes
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0
assert refuse_calls(["socket", "socketpair"], action=KILL), "no seccomp here"
os.environ.pop("ORT_DISABLE_TELEMETRY", None)  # the program shall set it
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Starts Python again in a process that dies of its first socket, as do all that it starts."""

WAITING = f"""
import atexit, sys, time
from ulecli.cli import main
atexit.register(time.sleep, {LONGER_THAN_TEN_SECONDS})
main(sys.argv[1:])
"""


def started(home: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start Python where no socket may be opened, and in a home of its own."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    }
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def check_no_trace(home: Path) -> None:
    assert not [path for path in home.rglob("*") if "Microsoft" in path.parts or "deviceid" in path.name]


def test_a_socket_ends_the_process(home):
    """So that the tests below can fail, also for a process that was started by the first."""
    for program in (
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "import socket; socket.socketpair()",
        "import subprocess, sys; "
        "sys.exit(subprocess.call([sys.executable, '-c', 'import socket; socket.socket()']))",
    ):
        with started(home, "-c", program) as process:
            process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGSYS, 256 - signal.SIGSYS)


def test_no_command_opens_a_socket(home, tmp_path):
    """Each with the surrogate that ships, all at the same time, since each has to live for so long."""
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    shutil.copy(ROOT / "samples" / "forest.jpg", tmp_path / "in")
    options = ["--jobs", "1", "--key-file", tmp_path / "key"]
    with started(home, "-m", "ulecli", "protect", tmp_path / "in", "-o", out, *options) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    commands = {
        "protect": ["protect", tmp_path / "in", "-o", tmp_path / "again", "--verify", *options],
        "verify": ["verify", tmp_path / "in", out, "--jobs", "1"],
        "report": ["report", out, "-o", tmp_path / "report.html"],
        "the Python API": None,
    }
    api = f"""
import sys, time
from pathlib import Path
import ulecli
from ulecli.surrogates.opening import open_perturber
from ulecli.protection.run import protect
from ulecli.protection.config import ProtectConfig
config = ProtectConfig((Path({str(tmp_path / "in")!r}),), Path({str(tmp_path / "api")!r}))
assert not any(one.reason for one in protect(config, open_perturber("photo")).outcomes)
time.sleep({LONGER_THAN_TEN_SECONDS})
"""
    processes = {
        name: started(home, "-c", api) if words is None else started(home, "-c", WAITING, *words)
        for name, words in commands.items()
    }
    ends = {
        name: (process.communicate(timeout=120), process.returncode) for name, process in processes.items()
    }
    assert {name: code for name, (_, code) in ends.items()} == dict.fromkeys(commands, 0), ends
    check_no_trace(home)
    assert (tmp_path / "again" / "forest.jpg").exists() and (tmp_path / "api" / "forest.jpg").exists()


def test_a_watch_opens_no_socket(home, tmp_path):
    pytest.importorskip("watchfiles")
    (tmp_path / "in").mkdir()
    shutil.copy(ROOT / "samples" / "forest.jpg", tmp_path / "in")
    command = ["-m", "ulecli", "protect", tmp_path / "in", "-o", tmp_path / "out", "--watch", "--jobs", "1"]
    with started(home, *command) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=LONGER_THAN_TEN_SECONDS + 3)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "1 protected" in err, err
    check_no_trace(home)

"""The whole thing with what ships: the command, the bundled surrogate, files to files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ulecli.protection.identity import name_of
from ulecli.protection.ledger import NAME, opened, reading
from ulecli.surrogates import store

SAMPLES = Path(__file__).parents[1] / "samples"
PICTURES = sorted(
    path.relative_to(SAMPLES) for path in SAMPLES.rglob("*") if path.suffix in (".jpg", ".png", ".webp")
)


@pytest.fixture(scope="module")
def protected(tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """The protected samples, and what --json reported of each."""
    folder = tmp_path_factory.mktemp("protected")
    # Where the photos are moved to depends on the key: one of its own keeps the test the same.
    (folder / "key").write_text("07" * 32)
    environment = {name: value for name, value in os.environ.items() if name != "ULECLI_MODELS"}
    options = ["-o", str(folder / "out"), "--key-file", str(folder / "key"), "--json"]
    command = [sys.executable, "-m", "ulecli", "protect", str(SAMPLES), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return folder / "out", {line["source"]: line for line in lines if "source" in line}


def upright(path: Path, mode: str = "RGB") -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert(mode))


def test_every_sample_has_its_protected_twin(protected) -> None:
    out, reported = protected
    assert len(PICTURES) == len(reported) >= 6
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    assert sorted(path for path in files if path.name != ".ulecli.sqlite") == PICTURES
    for name in PICTURES:
        with Image.open(SAMPLES / name) as before, Image.open(out / name) as after:
            assert after.format == before.format
            assert upright(out / name).shape == upright(SAMPLES / name).shape


def test_a_lossless_sample_moves_within_the_bound_and_both_ways(protected) -> None:
    out, _ = protected
    before, after = upright(SAMPLES / "fruit.png", "RGBA"), upright(out / "fruit.png", "RGBA")
    change = after.astype(int) - before
    assert 3 <= np.abs(change).max() <= 8
    assert not change[..., 3].any()
    hidden = before[..., 3] == 0
    assert not change[hidden].any()
    seen = change[~hidden][:, :3]
    assert (seen < 0).mean() > 0.3 and (seen > 0).mean() > 0.3
    free = ((before[..., :3] >= 8) & (before[..., :3] <= 247)).all(-1) & ~hidden
    assert (change[free][:, 0] == change[free][:, 1]).all() and (
        change[free][:, 1] == change[free][:, 2]
    ).all()


@pytest.mark.parametrize("name", PICTURES, ids=str)
def test_the_stored_file_is_moved_along_the_direction_of_the_ledger(protected, name: Path) -> None:
    """By the net in torch, not by what `verify` uses."""
    torch = pytest.importorskip("torch")
    from ulecli.surrogates.weights import load_net

    out, reported = protected
    with reading(out / NAME) as ledger:
        (direction,) = ledger.directions()
    assert reported[str(SAMPLES / name)]["direction"] == name_of(direction)
    assert reported[str(SAMPLES / name)]["recognised"] is True
    side = store.load_card("photo").net["side"]

    def features(path: Path) -> np.ndarray:
        small = Image.fromarray(upright(path)).resize((side, side), Image.Resampling.BILINEAR)
        image = torch.from_numpy(np.asarray(small, np.float32) / 255).permute(2, 0, 1)[None]
        return load_net("photo")(image)[0].numpy()

    shift = features(out / name) - features(SAMPLES / name)
    assert shift @ direction > 0.2 * np.linalg.norm(shift)


def test_the_strength_reaches_the_pixels_and_eps_bounds_it(tmp_path) -> None:
    def change(*options: str) -> np.ndarray:
        out = tmp_path / "".join(options)
        key = ["--key-file", str(tmp_path / "key"), "--quiet"]
        command = [sys.executable, "-m", "ulecli", "protect", str(SAMPLES / "fruit.png"), "-o", str(out)]
        subprocess.run([*command, *key, *options], check=True)
        before, after = (upright(folder / "fruit.png").astype(int) for folder in (SAMPLES, out))
        return np.abs(after - before)

    subtle, plain, strong = (change("--strength", name) for name in ("subtle", "default", "strong"))
    assert 0 < subtle.mean() < plain.mean() < strong.mean()
    assert subtle.max() < plain.max() < strong.max() <= 8
    assert change("--strength", "strong", "--eps", "3").max() == 3


def test_the_shell_example_protects_and_goes_on(tmp_path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ulecli").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ulecli "$@"\n')
    (tmp_path / "bin" / "ulecli").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SAMPLES.parent),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    (tmp_path / "my photos").mkdir()

    def run() -> tuple[int, dict]:
        script = [str(SAMPLES / "protect-library.sh"), "my photos", "out", "--jobs", "1"]
        done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)
        lines = (tmp_path / "state" / "ulecli" / "protect.jsonl").read_text().splitlines()
        return done.returncode, json.loads(lines[-1]) if lines else {}

    assert run() == (0, {})
    shutil.copy(SAMPLES / "dunes.jpg", tmp_path / "my photos")
    (tmp_path / "my photos" / "bad.jpg").touch()
    for done in ("written", "unchanged"):
        code, summary = run()
        assert code == 3 and summary[done] == summary["failed"] == 1


def under_cron(script: Path, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the shell example as cron does: with this environment, and no other."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "SHELL": "/bin/sh", "LOGNAME": "ada", **more}
    command = ["/bin/sh", str(script), str(home / "lib"), str(home / "out"), "--jobs", "1"]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)


def executable(path: Path) -> Path:
    """Write a ulecli, as pipx and pip do: a script that knows its own Python."""
    path.parent.mkdir(parents=True)
    program = (
        f"import sys\nsys.path.insert(0, {str(SAMPLES.parent)!r})\nfrom ulecli.cli import main\nmain()\n"
    )
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(os.name != "posix", reason="cron is POSIX")
def test_the_shell_example_finds_ulecli_under_cron(tmp_path) -> None:
    (tmp_path / "lib").mkdir()
    shutil.copy(SAMPLES / "dunes.jpg", tmp_path / "lib")
    script = tmp_path / "bin" / "protect-library.sh"
    script.parent.mkdir()
    shutil.copy(SAMPLES / script.name, script)
    if not shutil.which("ulecli", path="/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin"):
        done = under_cron(script, tmp_path)
        assert done.returncode == 127 and "ULECLI=/path/to/ulecli" in done.stderr
    executable(tmp_path / ".local" / "bin" / "ulecli")
    done = under_cron(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "out" / "dunes.jpg").exists()
    shutil.rmtree(tmp_path / ".local" / "bin")
    own = executable(tmp_path / "my tools" / "ulecli")
    done = under_cron(script, tmp_path, ULECLI=str(own))
    assert (done.returncode, done.stderr) == (0, "")
    executable(tmp_path / ".venv" / "bin" / "ulecli")
    assert under_cron(script, tmp_path).returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="cron is POSIX")
def test_the_shell_example_keeps_the_log_of_a_run_that_is_still_at_work(tmp_path) -> None:
    (tmp_path / "lib").mkdir()
    shutil.copy(SAMPLES / "dunes.jpg", tmp_path / "lib")
    executable(tmp_path / ".local" / "bin" / "ulecli")
    log = tmp_path / ".local" / "state" / "ulecli" / "protect.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("of the other run\n")
    (tmp_path / "out").mkdir()
    with opened(tmp_path / "out" / NAME):
        assert under_cron(SAMPLES / "protect-library.sh", tmp_path).returncode == 11
    assert [log.read_text(), *log.parent.iterdir()] == ["of the other run\n", log]
    assert under_cron(SAMPLES / "protect-library.sh", tmp_path).returncode == 0
    assert '"written"' in log.read_text() and [*log.parent.iterdir()] == [log]


def test_the_unit_is_one_that_systemd_takes() -> None:
    unit = (SAMPLES / "ulecli-watch.service").read_text()
    command = unit.partition("ExecStart=")[2].partition("\n")[0].split()
    assert command[:3] == ["/usr/bin/env", "ulecli", "protect"]
    known = subprocess.run(
        [sys.executable, "-m", "ulecli", "protect", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(word in known for word in command if word.startswith("-"))
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd here")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder}
        check = ["systemd-analyze", "--user", "verify", str(SAMPLES / "ulecli-watch.service")]
        done = subprocess.run(check, env=environment, capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "ulecli-watch" in line]
    assert complaints == []

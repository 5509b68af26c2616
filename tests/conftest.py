from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ulecli import surrogates

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test material; tests that need it are skipped where it is not at hand."""
    folder = (ROOT / os.environ.get("ULECLI_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder}; set ULECLI_SHARED")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch with a single thread, on which a CPU gives the same figures everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def feature_cache(tmp_path_factory) -> Iterator[None]:
    """A folder for caches that belongs to the tests, in processes that they start too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class FullSwing:
    """A perturber that goes as far as it may everywhere: signs drawn anew for each direction."""

    grid = 32
    samples = 2
    device = "a test"
    label = "swing 01234567"
    sha256 = "01234567" * 8

    def __init__(self, channels: int = 1, level: int | None = None) -> None:
        """Go to a level everywhere; None for the farthest that some cell of a photo may be moved."""
        self.channels = channels
        self.level = level
        self.seen: list[tuple[bytes, float]] = []
        self.asked: list[tuple[int, int]] = []

    def direction(self, images, amplitudes, seed):
        assert images.shape == (len(images), 3, self.grid, self.grid) and images.dtype == np.float32
        assert amplitudes.shape == (len(images), 1, self.grid, self.grid) and len(images) <= self.samples
        self.asked.append((len(images), seed))
        drawn = np.random.default_rng([seed, len(images)]).standard_normal(8)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)

    def __call__(self, images, directions, amplitudes, aspects):
        side = images.shape[-1]
        assert images.shape == (1, 3, side, side) and 0 < side <= self.grid and images.dtype == np.float32
        assert images.min() >= 0 and images.max() <= 1
        assert directions.shape == (1, 8) and aspects.shape == (1,)
        assert amplitudes.shape == (1, 1, side, side) and amplitudes.min() > 0
        self.seen.append((directions.tobytes(), float(aspects[0])))
        rng = np.random.default_rng(np.frombuffer(directions.tobytes(), np.uint32))
        signs = rng.choice([-1, 1], (1, self.channels, side, side))
        level = int(np.rint(amplitudes.max())) if self.level is None else self.level
        return (signs * level).astype(np.int8)

    def recognised(self, images, directions, deltas):
        assert images.shape[-2:] == deltas.shape[-2:] and deltas.dtype == np.int8
        assert directions.shape == (1, 8) and deltas.shape[:2] == (1, self.channels)
        return np.ones(1, bool)


@pytest.fixture
def perturber() -> FullSwing:
    return FullSwing()


@pytest.fixture
def config_home(tmp_path_factory, monkeypatch) -> Path:
    """A configuration folder of this test's own, so that no test reads or makes the user's key."""
    home = tmp_path_factory.mktemp("config")
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: home / name)
    return home


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def ulecli(capsys, monkeypatch, config_home, perturber) -> Callable[..., Result]:
    """Run the program in this process, with the test's perturber in place of a real one."""
    opened = SimpleNamespace(open_perturber=lambda name, **settings: perturber)
    monkeypatch.setitem(sys.modules, "ulecli.surrogates.opening", opened)
    monkeypatch.setattr(surrogates, "opening", opened, raising=False)

    def run(*arguments: object) -> Result:
        from ulecli.cli import main

        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(int(exit.value.code or 0), captured.out, captured.err)

    return run


def scene(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture that differs in every corner: smooth colours and some noise, black and white included."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = np.stack([255 * x, 255 * y, 255 * (1 - x) * y], axis=-1)
    return Image.fromarray(np.clip(planes + rng.normal(0, 6, planes.shape), 0, 255).astype(np.uint8))


@pytest.fixture
def photo_folder(tmp_path) -> Path:
    """A tree with one name twice, every format, and things that are no photos."""
    root = tmp_path / "photos"
    for folder in ("", "a", "b/deep"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    scene(seed=1).save(root / "one.jpg", quality=95)
    scene(seed=2).save(root / "a" / "IMG_1.png")
    scene(seed=3).save(root / "b" / "deep" / "IMG_1.png")
    scene(seed=4).save(root / "a" / "Zürich 東京.webp", lossless=True)
    (root / "notes.txt").write_text("no photo")
    (root / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (root / "._one.jpg").write_bytes(b"\0\5\x16\7")
    (root / ".hidden").mkdir()
    scene().save(root / ".hidden" / "x.png")
    return root


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system with 2 MB of room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)

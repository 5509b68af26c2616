from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.results_of import ENVIRONMENT, run
from PIL import Image

from ulecli.errors import ExitCode, MissingExtra
from ulecli.evaluation.results.plots import curves, gallery

SVG = "{http://www.w3.org/2000/svg}"


def runs(exploiters=("standard", "gray"), poisons=("clean", "noise", "cifar"), seeds=(0, 1), **other):
    return [
        run(poison, exploiter, 80 - 20 * place + seed, seed, **other)
        for exploiter in exploiters
        for place, poison in enumerate(poisons)
        for seed in seeds
    ]


@pytest.fixture(scope="module")
def matplotlib():
    return pytest.importorskip("matplotlib")


def drawn(tmp_path, records, name="curves"):
    png, svg = tmp_path / f"{name}.png", tmp_path / f"{name}.svg"
    curves(records, png, svg)
    with Image.open(png) as image:
        image.load()
    return image, ET.parse(svg).getroot(), svg.read_text(encoding="utf-8")


def panels(root):
    """The curves of each panel: the number of points of each, by the colour of its line."""
    found = []
    for axes in root.iter(f"{SVG}g"):
        if not axes.get("id", "").startswith("axes_"):
            continue
        lines = []
        for group in axes:
            if group.get("id", "").startswith("line2d_"):
                path = group.find(f"{SVG}path")
                lines.append(path.get("d").count("L") + 1)
        found.append(lines)
    return found


def test_a_panel_an_exploiter_and_a_line_a_poison(matplotlib, tmp_path):
    image, root, text = drawn(tmp_path, runs())
    assert panels(root) == [[3, 3, 3, 2], [3, 3, 3, 2]]  # three epochs each, and the line of guessing
    assert len([one for one in root.iter(f"{SVG}g") if one.get("id", "").startswith("FillBetween")]) == 6
    assert image.width > 600 and image.height > 300
    assert len(image.convert("RGB").getcolors(1 << 24)) > 10
    for colour in ("#000000", "#8c8c8c", "#0072b2"):
        assert colour in text


def test_a_single_seed_has_no_band(matplotlib, tmp_path):
    _, root, _ = drawn(tmp_path, runs(seeds=(0,)))
    assert not [one for one in root.iter(f"{SVG}g") if one.get("id", "").startswith("FillBetween")]
    assert panels(root)[0] == [3, 3, 3, 2]


@pytest.mark.parametrize("count", [1, 5, 12])
def test_any_number_of_panels(matplotlib, tmp_path, count):
    _, root, _ = drawn(tmp_path, runs([f"e{number}" for number in range(count)], seeds=(0,)))
    assert len(panels(root)) == count


def test_nets_are_panels_of_their_own(matplotlib, tmp_path):
    _, root, _ = drawn(tmp_path, [*runs(seeds=(0,)), *runs(seeds=(0,), arch="large")])
    assert len(panels(root)) == 4


def test_one_epoch_is_seen(matplotlib, tmp_path):
    _, root, _ = drawn(tmp_path, [run(test_accuracies=(50,), train_accuracies=(50,))])
    assert [
        one.get("style")
        for one in root.iter(f"{SVG}use")
        if "fill: #000000; stroke" not in one.get("style", "")
    ]
    assert panels(root) == [[1, 2]]


@pytest.mark.parametrize("name", ["東京", "_hidden", "$x", "$x$ $y$", "a\nb", "n" * 300, "<&>", "%", ""])
def test_any_name_can_be_drawn_without_a_warning(matplotlib, tmp_path, name):
    image, _, _ = drawn(tmp_path, runs(("standard",), ("clean", name)))
    assert image.width < 2000


def test_the_same_runs_give_the_same_bytes_whatever_the_user_set(matplotlib, tmp_path):
    def both(name):
        drawn(tmp_path, runs(), name)
        return [(tmp_path / f"{name}.{suffix}").read_bytes() for suffix in ("png", "svg")]

    first = both("a")
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.dpi": 33}):
        before = dict(matplotlib.rcParams)
        assert both("b") == first
        assert dict(matplotlib.rcParams) == before
    assert b"date" not in first[1]


def test_drawing_touches_no_backend(matplotlib, tmp_path):
    code = """
import sys
from pathlib import Path
import matplotlib
from helpers.results_of import run
from ulecli.evaluation.results.plots import curves
before = dict.__getitem__(matplotlib.rcParams, "backend")
curves([run()], Path(sys.argv[1]) / "a.png", Path(sys.argv[1]) / "a.svg")
assert dict.__getitem__(matplotlib.rcParams, "backend") is before
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "MPLBACKEND": ""},
    )
    assert done.returncode == 0, done.stderr


def test_without_runs_there_is_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no runs"):
        curves([], tmp_path / "a.png", tmp_path / "a.svg")


def test_without_matplotlib_the_message_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"matplotlib: pip install '\.\[torch\]'") as raised:
        curves([run()], tmp_path / "a.png", tmp_path / "a.svg")
    assert raised.value.exit_code == ExitCode.MISSING_EXTRA
    assert list(tmp_path.iterdir()) == []


def pictures(count=2, side=16):
    rng = np.random.default_rng(0)
    originals = rng.integers(20, 200, (count, 3, side, side), dtype=np.uint8)
    delta = rng.integers(-8, 9, originals.shape)
    delta[:, :, 0, :3] = (-8, 0, 8)
    return originals, (originals + delta).astype(np.uint8), delta


def tiles(sheet, images, top):
    """The pixels of a strip whose first line is `top`, shrunk back by taking the middle of each square."""
    side = images.shape[-1]
    factor = 128 // side
    found = []
    for place in range(len(images)):
        left = 6 + place * (128 + 6)
        tile = sheet[top : top + 128, left : left + 128]
        small = tile[factor // 2 :: factor, factor // 2 :: factor]
        assert np.array_equal(small.repeat(factor, 0).repeat(factor, 1), tile)
        found.append(small.transpose(2, 0, 1))
    return np.stack(found)


def test_the_gallery_shows_the_very_pixels(tmp_path):
    originals, protected, delta = pictures()
    gallery(originals, protected, 8, tmp_path / "gallery.png")
    with Image.open(tmp_path / "gallery.png") as image:
        sheet = np.asarray(image)
    step = (sheet.shape[0] - 6) // 3
    top = 6 + step - 2 * 6 - 128
    assert np.array_equal(tiles(sheet, originals, top), originals)
    assert np.array_equal(tiles(sheet, protected, top + 2 * step), protected)
    shown = tiles(sheet, originals, top + step)
    assert np.abs(shown - 255 * (0.5 + delta / 16)).max() <= 0.5
    assert (shown[0, :, 0, :3] == [0, 128, 255]).all()
    assert (sheet[6 : top - 1] < 100).any()  # the title


def test_large_pictures_are_not_enlarged_and_many_are_wide(tmp_path):
    originals, protected, _ = pictures(5, 150)
    gallery(originals, protected, 8, tmp_path / "gallery.png")
    with Image.open(tmp_path / "gallery.png") as image:
        assert image.width == 5 * 150 + 4 * 6 + 2 * 6 and 3 * 150 < image.height < 3 * 200


def test_what_exceeds_epsilon_is_cut_off(tmp_path):
    originals, protected, _ = pictures()
    gallery(originals, protected, 8, tmp_path / "a.png")
    gallery(originals, protected, 4, tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as honest, Image.open(tmp_path / "b.png") as cut:
        assert cut.width > honest.width  # its title says so


@pytest.mark.parametrize(
    ("shape", "other", "epsilon"),
    [((0, 3, 4, 4), (0, 3, 4, 4), 8), ((1, 3, 4, 4), (2, 3, 4, 4), 8), ((1, 1, 4, 4), (1, 1, 4, 4), 8),
     ((1, 3, 4, 4), (1, 3, 4, 4), 0)],
)  # fmt: skip
def test_pictures_that_can_not_be_compared_are_refused(tmp_path, shape, other, epsilon):
    with pytest.raises(ValueError, match=r"same images|of up to 0 levels"):
        gallery(np.zeros(shape, np.uint8), np.zeros(other, np.uint8), epsilon, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()

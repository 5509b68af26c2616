"""Figures of an evaluation: learning curves, and a gallery of what was done to the images."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulecli.errors import MissingExtra, install_extra, shown
from ulecli.evaluation.results.record import CLEAN, NOISE, NOISE_MEAN, RunRecord
from ulecli.system.atomic import replacing
from ulecli.units import LEVELS

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray
    from PIL import Image

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito, 'Color universal design' (2008), which colour-blind readers can distinguish."""

_DASHES = ("-", "--", "-.", ":")
"""After each round of colours, the next of these."""

_FEW_EPOCHS = 15
"""Up to here each epoch gets a dot, so that a single one can be seen."""

_ACROSS = 4
"""Panels beside each other."""

_TILE = 128
"""Side of a small picture in the gallery, in pixels, as far as a whole multiple of its own gets there."""

_GAP = 6


def curves(records: Sequence[RunRecord], path_png: Path, path_svg: Path) -> None:
    """Draw test accuracy by epoch: a panel for each exploiter and net, a line for each poison.

    A line is the mean over the seeds, its band goes from their least to their most. The clean control is
    black and dashed, random noise gray, guessing dotted. The same records give the same bytes.

    Args:
        records: Runs of one data set and preset, at least one.
        path_png: The picture to make, 150 dots per inch.
        path_svg: The same as a drawing.

    Raises:
        MissingExtra: matplotlib is not installed.
        OSError: A file can't be written.
        ValueError: There is no record.
    """
    if not records:
        raise ValueError("there are no runs to draw")
    panels: dict[tuple[str, str], list[RunRecord]] = {}
    for one in records:
        panels.setdefault((one.arm.exploiter, one.arm.arch), []).append(one)
    with _own_style():
        figure = _figure(panels, _styles(records))
        for path, metadata in ((path_png, {"Software": None}), (path_svg, {"Date": None, "Creator": None})):
            with replacing(path) as part:
                figure.savefig(part, format=path.suffix[1:], dpi=150, metadata=metadata)


def _figure(
    panels: Mapping[tuple[str, str], Sequence[RunRecord]], styles: Mapping[str, Mapping[str, Any]]
) -> Figure:
    from matplotlib.figure import Figure

    down = -(-len(panels) // _ACROSS)
    across = -(-len(panels) // down)
    nets = {net for _, net in panels}
    width = max(3.1 * across, 4.2)
    names = {name: _label(name) for name in (*styles, "guessing")}
    beside = int(width / (0.8 + 0.08 * max(map(len, names.values()))))  # in the legend; inches, roughly
    height = 2.5 * down + 0.3 + 0.2 * -(-len(names) // beside)
    figure = Figure(figsize=(width, height), layout="constrained")
    lines: dict[str, Line2D] = {}
    first = None
    for place, ((exploiter, net), runs) in enumerate(panels.items()):
        axes = figure.add_subplot(down, across, place + 1, sharex=first, sharey=first)
        first = first or axes
        lines |= _panel(axes, runs, styles)
        axes.set_title(f"{_label(exploiter)}, {_label(net)}" if len(nets) > 1 else _label(exploiter))
        lowest = place + across >= len(panels)
        axes.tick_params(labelleft=place % across == 0, labelbottom=lowest)
        axes.set_xlabel("epoch" if lowest else "")
    figure.supylabel("accuracy on test images, %", fontsize="medium")
    figure.legend(
        [lines[name] for name in names],
        list(names.values()),
        loc="outside lower center",
        ncols=min(len(names), beside),
        frameon=False,
    )
    return figure


@contextlib.contextmanager
def _own_style() -> Iterator[None]:
    """Let matplotlib draw as it does by default, whatever the user set, and put back what was set."""
    try:
        import matplotlib
        from matplotlib import style
    except ImportError as error:
        raise MissingExtra(f"this needs matplotlib: {install_extra('torch')}") from error
    own = {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "font.size": 9,
        "text.parse_math": False,  # a $ in a name is a $
    }
    with warnings.catch_warnings(), style.context(["default", own]), matplotlib.rc_context():
        warnings.filterwarnings("ignore", message="Glyph")  # of a name in a script that the font lacks
        matplotlib.rcParams["svg.hashsalt"] = "ulecli"
        yield


def _styles(records: Sequence[RunRecord]) -> dict[str, Mapping[str, Any]]:
    """Return how the line of each poison looks, the controls first."""
    names = dict.fromkeys(one.arm.poison for one in records)
    controls = {
        CLEAN: {"color": "black", "linestyle": "--"},
        NOISE: {"color": "0.55", "linestyle": "-"},
        NOISE_MEAN: {"color": "0.55", "linestyle": "-."},
    }
    styles: dict[str, Mapping[str, Any]] = {name: look for name, look in controls.items() if name in names}
    for place, name in enumerate(name for name in names if name not in controls):
        again, colour = divmod(place, len(_COLOURS))
        styles[name] = {"color": _COLOURS[colour], "linestyle": _DASHES[again % len(_DASHES)]}
    return styles


def _panel(
    axes: Axes, runs: Sequence[RunRecord], styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, Line2D]:
    """Draw the runs of one exploiter and return the line of each poison and of guessing."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    lines = {}
    for poison, look in styles.items():
        found = [one.test_accuracies for one in runs if one.arm.poison == poison]
        if not found:
            continue
        epochs = min(map(len, found))
        levels = np.array([curve[:epochs] for curve in found])
        steps = np.arange(1, epochs + 1)
        dots: dict[str, Any] = {"marker": "o", "markersize": 2.5} if epochs <= _FEW_EPOCHS else {}
        (lines[poison],) = axes.plot(steps, levels.mean(0), linewidth=1.5, **look, **dots)
        if len(found) > 1:
            axes.fill_between(
                steps, levels.min(0), levels.max(0), color=look["color"], alpha=0.2, linewidth=0
            )
    lines["guessing"] = axes.axhline(runs[0].chance, color="0.3", linestyle=":", linewidth=1)
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    return lines


def _label(name: str) -> str:
    text = shown(name)
    return text if len(text) <= 28 else f"{text[:13]}...{text[-12:]}"


def gallery(originals: NDArray[np.uint8], protected: NDArray[np.uint8], epsilon: int, path_png: Path) -> None:
    """Draw originals, perturbations and protected images below each other, a column an image.

    A perturbation is shown as 0.5 + delta / (2 epsilon): -epsilon is black, 0 gray and +epsilon white, in
    each channel. What goes beyond is cut off, and the picture says so. Small images are enlarged by a whole
    number, each pixel to a square.

    Args:
        originals: (n, 3, H, W) uint8 RGB.
        protected: (n, 3, H, W) uint8 RGB, the same images.
        epsilon: Bound of the perturbation, in levels.
        path_png: The picture to make.

    Raises:
        OSError: It can't be written.
        ValueError: The two are not of the same images, or epsilon is below 1.
    """
    import numpy as np
    from PIL import Image

    if originals.shape != protected.shape or not len(originals) or originals.shape[1:2] != (3,):
        raise ValueError(
            f"{originals.shape} and {protected.shape} are not two (n, 3, H, W) of the same images"
        )
    if epsilon < 1:
        raise ValueError(f"a perturbation of up to {epsilon} levels can't be scaled to be seen")
    delta = protected.astype(np.int16) - originals
    scaled = np.clip(0.5 + delta / (2 * epsilon), 0, 1) * LEVELS
    most = int(np.abs(delta).max())
    beyond = f"; cut off: {most} is reached" if most > epsilon else ""
    rows = {
        "original": originals,
        f"perturbation, 0.5 + delta / (2 x {epsilon}): -{epsilon} black, 0 gray, +{epsilon} white{beyond}":
            np.rint(scaled).astype(np.uint8),
        "protected": protected,
    }  # fmt: skip
    sheet = _sheet([(title, Image.fromarray(_strip(images))) for title, images in rows.items()])
    with replacing(path_png) as part:
        sheet.save(part, "PNG")


def _strip(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay (n, 3, H, W) enlarged beside each other, with white gaps: (H', W', 3)."""
    import numpy as np

    factor = max(1, _TILE // max(images.shape[2:]))
    large = images.transpose(0, 2, 3, 1).repeat(factor, 1).repeat(factor, 2)
    spaced = np.pad(large, ((0, 0), (0, 0), (0, _GAP), (0, 0)), constant_values=LEVELS)
    return np.concatenate(list(spaced), axis=1)[:, :-_GAP]


def _sheet(strips: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Put strips below each other on white, each under its title."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    boxes = [font.getbbox(title) for title, _ in strips]
    line = max(int(box[3]) for box in boxes) + _GAP
    width = max(*(int(box[2]) + 1 for box in boxes), *(strip.width for _, strip in strips)) + 2 * _GAP
    height = sum(line + strip.height + 2 * _GAP for _, strip in strips) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = _GAP
    for title, strip in strips:
        draw.text((_GAP, top), title, "black", font)
        sheet.paste(strip, (_GAP, top + line))
        top += line + strip.height + 2 * _GAP
    return sheet

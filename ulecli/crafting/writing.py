"""Poisoned images in files that `ulecli evaluate --poison` and other tools read."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import save

from ulecli.crafting.layout import ARRAYS, Layout
from ulecli.data.images import ImageSet
from ulecli.errors import MissingExtra, TargetError, UsageError, install_extra, shown
from ulecli.system.atomic import replacing
from ulecli.system.writing import NO_ROOM, writing_to

CARD, DRAWING = "poison.json", "errors.svg"
"""In a folder; beside a file they are called after it."""


def check_target(output: Path, *, resumes: bool) -> None:
    """Refuse a place that can't take a poison, before hours of work are lost to it.

    Args:
        output: A file with an ending of `ARRAYS`, or a folder.
        resumes: Whether interrupted work lies there.

    Raises:
        UsageError: The ending is that of another kind of file.
        TargetError: There is something already, or no file can be made there.
    """
    if output.suffix and output.suffix not in ARRAYS and not output.is_dir():
        raise UsageError(
            f"{shown(output)}: a poison is a folder of PNGs, or a file that ends in {', '.join(ARRAYS)}"
        )
    taken = output.exists() and not (output.is_dir() and not any(output.iterdir()))
    if taken and not resumes:
        raise TargetError(f"there is {shown(output)} already; name another place or delete it")
    with writing_to(output, NO_ROOM):
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass


def write_poison(output: Path, images: ImageSet, layout: Layout = Layout.NUMBERS) -> None:
    """Write a poisoned training set.

    A .npy holds the images alone, (N, H, W, 3) uint8; a .npz and a .safetensors hold `images` and `labels`
    too, those of .safetensors (N, 3, H, W). A folder holds a PNG for each image, called by its number in the
    training set with as many digits as the last one has, all together or in a folder for each class.

    Args:
        output: Where to; an ending of `ARRAYS` says which kind of file.
        images: The whole set.
        layout: Of a folder.

    Raises:
        TargetError: It can't be written.
    """
    if output.suffix not in ARRAYS:
        with writing_to(output, NO_ROOM):
            _write_pngs(output, images, layout)
        return
    pixels, labels = images.images.movedim(1, 3).contiguous().numpy(), images.labels.numpy()
    with writing_to(output, NO_ROOM), replacing(output) as part, part.open("wb") as stream:
        if output.suffix == ".npy":
            np.save(stream, pixels)
        elif output.suffix == ".npz":
            np.savez(stream, images=pixels, labels=labels)
        else:
            stream.write(save({"images": images.images.contiguous(), "labels": images.labels.contiguous()}))


def _write_pngs(folder: Path, images: ImageSet, layout: Layout) -> None:
    folders = {label: folder for label in range(len(images.classes))}
    if layout is Layout.CLASSES:
        folders = {label: folder / name for label, name in enumerate(images.classes)}
    for one in folders.values():
        one.mkdir(parents=True, exist_ok=True)
    digits = len(str(max(0, len(images) - 1)))

    def write(number: int) -> None:
        pixels = images.images[number].movedim(0, 2).contiguous().numpy()
        path = folders[int(images.labels[number])] / f"{number:0{digits}}.png"
        Image.fromarray(pixels).save(path, "PNG", compress_level=1)

    with ThreadPoolExecutor() as pool:  # Pillow works without holding the interpreter's lock
        for _ in pool.map(write, range(len(images))):
            pass


def write_card(output: Path, card: Mapping[str, Any], errors: Sequence[float]) -> None:
    """Write how a poison was made, and where there was a loop, a drawing of its surrogate's errors.

    Args:
        output: Of the poison.
        card: What JSON can hold.
        errors: Of the surrogate after each round, 0 to 1; empty if there was no loop.

    Raises:
        TargetError: They can't be written.
    """
    path, drawing = _beside(output, CARD), _beside(output, DRAWING)
    with writing_to(path, NO_ROOM):
        with replacing(path) as part:
            part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        if errors:
            with replacing(drawing) as part:
                part.write_bytes(_drawn(errors))


def _beside(output: Path, name: str) -> Path:
    return output.with_name(f"{output.stem}.{name}") if output.suffix in ARRAYS else output / name


def _drawn(errors: Sequence[float]) -> bytes:
    """Draw the error by round as SVG; the same errors give the same bytes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra(f"the drawing of errors needs matplotlib: {install_extra('torch')}") from error
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "ulecli", "svg.fonttype": "none"}):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot(range(1, len(errors) + 1), [100 * one for one in errors], marker="o")
        axes.set(xlabel="round", ylabel="surrogate's error in %", ylim=(0, None))
        axes.grid(alpha=0.3)
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()

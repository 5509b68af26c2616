"""The files of a surrogate: weights, gradient graphs and card, written together."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from ulecli import __version__
from ulecli.perturb.gradient_graph import gradient_graph
from ulecli.surrogates.recipe import Recipe
from ulecli.surrogates.store import Card, card_file, write_card
from ulecli.system.atomic import replacing
from ulecli.system.writing import NO_ROOM, writing_to


def write_surrogate(
    name: str,
    nets: Sequence[nn.Sequential],
    recipe: Recipe,
    folder: Path,
    *,
    classes: int,
    data: str,
    command: str,
    seed: int,
    device: str,
    accuracy: float,
) -> Card:
    """Write `name`.safetensors, a graph `name`.FAMILY.onnx for each net and, last, the card.

    Args:
        name: Stem of the files, and the name that users type.
        nets: One for each family of codes; trained, in evaluation mode.
        recipe: What it was trained by.
        folder: Where the files go; made if missing.
        classes: Number of classes that each net distinguishes.
        data: What it was trained on, in words.
        command: The command line that makes it again.
        seed: Of the training.
        device: What trained it: a CPU rounds convolutions to bfloat16, so results differ a little.
        accuracy: Share of protected training images that the nets got right at the end, 0 to 1.

    Returns:
        The card, whose measured effect is still empty.

    Raises:
        TargetError: A file can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        f"{family}.{key}": value.detach().cpu().contiguous()
        for family, net in enumerate(nets)
        for key, value in net.state_dict().items()
    }
    files = {f"{name}.safetensors": save(weights)}
    for family, net in enumerate(nets):
        files[f"{name}.{family}.onnx"] = gradient_graph(net.cpu(), recipe.protection.channels)
    for file, content in files.items():
        with writing_to(folder / file, NO_ROOM), replacing(folder / file) as part:
            part.write_bytes(content)
    card = Card(
        name=name,
        purpose=recipe.purpose,
        net={**recipe.net, "channels": recipe.protection.channels, "classes": classes},
        data=data,
        protocol=_protocol(recipe, device, accuracy),
        command=command,
        seeds=(seed,),
        versions=_versions(),
        files={file: card_file(content) for file, content in files.items()},
        effect=(),
        limits=recipe.limits,
    )
    write_card(card, folder)
    return card


def _protocol(recipe: Recipe, device: str, accuracy: float) -> Mapping[str, Any]:
    entries = recipe.to_card()
    # What `SurrogatePerturber` reads stands apart from what only says how the nets were made.
    pgd = entries.pop("protection")
    return {
        "grid": entries.pop("grid"),
        "families": entries.pop("families"),
        "variant": recipe.protection.variant,
        "pgd": pgd,
        "made_by": entries,
        "trained_on": device,
        "accuracy_on_delta": round(accuracy, 3),
    }


def _versions() -> dict[str, str]:
    found = {"ulecli": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("numpy", "onnx", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # vendored by a distribution; the others are still known
            continue
    return found

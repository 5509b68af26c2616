"""The files of a surrogate: weights, gradient graphs and card, written together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from ulecli.perturb.gradient_graph import gradient_graph
from ulecli.surrogates.recipe import Recipe
from ulecli.surrogates.store import Card, card_file, load_card, write_card
from ulecli.surrogates.weights import FEATURE, load_net
from ulecli.system.atomic import replacing
from ulecli.system.versions import versions
from ulecli.system.writing import NO_ROOM, writing_to


def write_surrogate(
    name: str,
    net: nn.Sequential,
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
    """Write the files of a surrogate that was trained by a recipe.

    Args:
        name: Stem of the files, and the name that users type.
        net: Trained, in evaluation mode.
        recipe: What it was trained by.
        folder: Where the files go; made if missing.
        classes: Number of classes that the net distinguishes.
        data: What it was trained on, in words.
        command: The command line that makes it again.
        seed: Of the training.
        device: What trained it: a CPU rounds convolutions to bfloat16, so results differ a little.
        accuracy: Share of protected training images that the net got right at the end, 0 to 1.

    Returns:
        The card, whose measured effect is still empty.

    Raises:
        TargetError: A file can't be written.
    """
    weights = {f"0.{key}": value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    return write_files(
        name,
        folder,
        weights,
        gradient_graph(net.cpu(), recipe.protection.channels),
        purpose=recipe.purpose,
        net={**recipe.net, "channels": recipe.protection.channels, "classes": classes},
        data=data,
        protocol=_protocol(recipe, device, accuracy),
        command=command,
        seed=seed,
        limits=recipe.limits,
    )


def write_files(
    name: str,
    folder: Path,
    weights: Mapping[str, Tensor],
    graph: bytes,
    *,
    purpose: str,
    net: Mapping[str, Any],
    data: str,
    protocol: Mapping[str, Any],
    command: str,
    seed: int,
    limits: tuple[str, ...],
) -> Card:
    """Write `name`.safetensors, the graph `name`.0.onnx and, last, the card; see `Card`.

    Args:
        name: Stem of the files.
        folder: Where the files go; made if missing.
        weights: On the CPU, the number of the net and a dot before each name.
        graph: The gradient graph of the net.
        purpose: As on the card; so are the others.
        net: See there.
        data: See there.
        protocol: See there.
        command: See there.
        seed: See there.
        limits: See there.

    Returns:
        The card, whose measured effect is still empty.

    Raises:
        TargetError: A file can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{name}.safetensors": save(dict(weights)), f"{name}.0.onnx": graph}
    for file, content in files.items():
        with writing_to(folder / file, NO_ROOM), replacing(folder / file) as part:
            part.write_bytes(content)
    card = Card(
        name=name,
        purpose=purpose,
        net=net,
        data=data,
        protocol=protocol,
        command=command,
        seeds=(seed,),
        versions=versions(("torch", "numpy", "onnx", "safetensors")),
        files={file: card_file(content) for file, content in files.items()},
        effect=(),
        limits=limits,
    )
    write_card(card, folder)
    return card


def graph_of(name: str) -> bytes:
    """Return the gradient graph of a surrogate, written anew from its verified weights.

    Raises:
        ModelError: The surrogate is unknown, damaged or changed.
    """
    card, net = load_card(name), load_net(name)
    pretrained = "layer" in card.net
    return gradient_graph(net, card.net["channels"], feature=FEATURE if pretrained else None, half=pretrained)


def _protocol(recipe: Recipe, device: str, accuracy: float) -> Mapping[str, Any]:
    entries = recipe.to_card()
    # What is read again stands apart from what only says how the net was made.
    pgd = entries.pop("protection")
    return {
        "grid": entries.pop("grid"),
        "variant": recipe.protection.variant,
        "pgd": pgd,
        "made_by": entries,
        "trained_on": device,
        "accuracy_on_delta": round(accuracy, 3),
    }

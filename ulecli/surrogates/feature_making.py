"""Making a surrogate of a pretrained net: its weights, the deviations of its features, graph and card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ulecli.data.images import ImageSet
from ulecli.errors import ModelError, UsageError
from ulecli.nets.backbones.backbone import BackboneOptions
from ulecli.nets.backbones.makers import MAKERS
from ulecli.perturb.gradient_graph import gradient_graph
from ulecli.surrogates.export import write_files
from ulecli.surrogates.feature_recipe import FeatureRecipe
from ulecli.surrogates.store import Card
from ulecli.surrogates.training_images import WorkingImages
from ulecli.surrogates.weights import FEATURE, described_net

FEWEST = 100
"""Photos that the deviation of a feature can be told from."""

_BATCH = 32
_LEAST = 1e-4
"""A feature that hardly varies is not made a thousand times as loud."""


def make_feature_surrogate(
    name: str,
    recipe: FeatureRecipe,
    pictures: ImageSet,
    folder: Path,
    *,
    data: str,
    command: str,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Card:
    """Take over a pretrained net, standardise its features by photos, and write the surrogate.

    Args:
        name: Stem of the files.
        recipe: What to make.
        pictures: Photos of anything, (N, 3, S, S) with S the recipe's grid; their classes don't matter.
        folder: Where the files go; it exists.
        data: What the pictures are, in words, for the card.
        command: What makes the surrogate again, for the card.
        seed: Draws what is seen of the pictures.
        progress: Called with the number of pictures seen.

    Returns:
        The card.

    Raises:
        UsageError: There are too few photos.
        MissingExtra: The package that carries the weights is not installed.
        ModelError: The weights are of another net.
        TargetError: A file can't be written.
    """
    if len(pictures) < FEWEST:
        raise UsageError(
            f"{len(pictures)} photos are too few to standardise features by; take {FEWEST} or more"
        )
    net = described_net(recipe.net)
    take_over(net[0], MAKERS.find(recipe.backbone).open(BackboneOptions()).net)
    # What is stored in half precision must be what was measured, and what torch and the graph both use.
    net.half().float().eval().requires_grad_(False)
    deviations = _deviations(net[0], recipe, pictures, seed, progress)
    net.load_state_dict({f"{FEATURE}.deviations": deviations.half()}, strict=False)
    weights = {f"0.{key}": value.half().contiguous() for key, value in net.state_dict().items()}
    graph = gradient_graph(net, recipe.net["channels"], feature=FEATURE, half=True)
    return write_files(
        name,
        folder,
        weights,
        graph,
        purpose=recipe.purpose,
        net=recipe.net,
        data=data,
        protocol={
            "grid": recipe.grid,
            "variant": recipe.protection.variant,
            "pgd": recipe.protection.to_card(),
            "directions": recipe.directions.to_card(),
            "made_by": {
                "backbone": recipe.backbone,
                "ordinary": asdict(recipe.ordinary),
                "photos": len(pictures),
            },
        },
        command=command,
        seed=seed,
        limits=recipe.limits,
    )


def take_over(net: nn.Module, pretrained: nn.Module) -> None:
    """Copy the weights of a net whose convolutions have batch norms into one of the same order without.

    Raises:
        ModelError: The two are not the same net.
    """
    own = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    theirs = list(_folded(pretrained))
    if [layer.weight.shape for layer in own] != [weight.shape for weight, _ in theirs]:
        raise ModelError("the pretrained weights are of another net than the recipe's")
    for layer, (weight, bias) in zip(own, theirs, strict=True):
        assert layer.bias is not None
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)


def _folded(net: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight and bias of each convolution with the batch norm behind it."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    for layer, norm in pairwise(layers):
        if isinstance(layer, nn.Conv2d):
            if not isinstance(norm, nn.BatchNorm2d):
                raise ModelError("the pretrained net has a convolution without a batch norm")
            assert norm.running_mean is not None and norm.running_var is not None
            yield fuse_conv_bn_weights(
                layer.weight,
                layer.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )


@torch.no_grad()
def _deviations(
    features: nn.Module,
    recipe: FeatureRecipe,
    pictures: ImageSet,
    seed: int,
    progress: Callable[[int], None] | None,
) -> Tensor:
    """Return the deviation (D,) of each feature over photos, each seen once."""
    rng = np.random.default_rng(seed)
    images = WorkingImages(pictures.images, recipe.ordinary, channels=3, device=torch.device("cpu"))
    found = []
    for part in torch.split(torch.arange(len(pictures)), _BATCH):
        found.append(features(images.batch(part, rng)))
        if progress:
            progress(min(len(pictures), len(found) * _BATCH))
    return torch.cat(found).std(0).clamp(min=_LEAST)

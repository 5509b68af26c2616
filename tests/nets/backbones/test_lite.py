from __future__ import annotations

import pytest
import torch
from helpers.tiny_nets import pictures

from ulecli.data.folder import image_folder
from ulecli.errors import UsageError
from ulecli.nets.backbones.backbone import BackboneOptions, Preprocessing
from ulecli.nets.backbones.lite import SIZES, efficientnet_lite

pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra transfer")


def test_lite0_gives_features_at_any_size() -> None:
    for size in (75, 112):
        own = efficientnet_lite("lite0", BackboneOptions(size=size))
        with torch.no_grad():
            assert own.module()(pictures(2, 64)).shape == (2, 1280)
    assert own.digest == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    with pytest.raises(UsageError, match="backbones of files"):
        efficientnet_lite("lite0", BackboneOptions(layer="_fc"))


@pytest.mark.parametrize("kind", SIZES)
def test_photos_have_the_statistics_that_the_net_was_trained_with(kind: str, shared) -> None:
    """The first batch norm remembers what ImageNet looked like; the usual normalisation misses it widely."""
    images = image_folder(shared / "intel6" / "test", 112).images[::15] / 255

    def miss(normalisation: str) -> float:
        own = efficientnet_lite(kind, BackboneOptions(size=112, normalisation=normalisation))
        shown: Preprocessing = own.preprocessing
        mean, std = (torch.tensor(one)[:, None, None] for one in (shown.mean, shown.std))
        stem, norm = own.net.net._conv_stem, own.net.net._bn0
        with torch.no_grad():
            found = stem((images - mean) / std).mean((0, 2, 3))
        alive = norm.running_var > 1e-6
        return float(((found - norm.running_mean) / norm.running_var.sqrt())[alive].abs().mean())

    assert miss("") == miss("signed") < 0.2 < miss("imagenet")

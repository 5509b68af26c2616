"""A pretrained net for tests of exploiters, small enough to learn in moments."""

from __future__ import annotations

import torch
from helpers.tiny_nets import tiny_net
from torch import nn

from ulecli.nets.backbones.backbone import Backbone, Preprocessing


class Features(nn.Module):
    """The body of the tiny net."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net()
        del self.net.fc
        self.shown = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shown += len(images)
        return self.net.features(images)


def tiny_backbone(size: int = 16, digest: str = "tiny") -> Backbone:
    return Backbone("tiny", Features().eval(), Preprocessing(size), digest)

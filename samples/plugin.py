"""A countermeasure that learns, a net and a defender of one's own, for `ulecli evaluate`.

ulecli evaluate --dataset shapes --plugin samples/plugin.py --exploiter denoise --defender grid
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ulecli.evaluation.plugins import (
    Countermeasure,
    Defender,
    Family,
    Fitted,
    Net,
    Order,
    Preparation,
    Stored,
)

STEPS, BATCH = 60, 64


def denoise(noise: int) -> Countermeasure:
    """Learn to take noise of so many levels off stored images; they and test images then go through it."""

    def learn(given: Preparation):
        images, device, draws = given.images.images, given.device, given.generator
        layers = nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1)
        net = nn.Sequential(*layers).to(device)
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(STEPS):
            places = torch.randint(len(images), (BATCH,), generator=draws)
            clean = images[places].float() / 255
            noisy = clean + noise / 255 * torch.randn(clean.shape, generator=draws)
            found = noisy.to(device) + net(noisy.to(device))
            optimizer.zero_grad()
            functional.mse_loss(found, clean.to(device)).backward()
            optimizer.step()

        def clean_up(levels: Tensor) -> Tensor:
            parts = [part.to(device).float() / 255 for part in torch.split(levels, 500)]
            levels = torch.cat([(255 * (part + net(part))).round().clamp(0, 255).cpu() for part in parts])
            return levels.to(torch.uint8)

        return clean_up

    return Countermeasure(stored=(Stored(Fitted(learn), on_test=True),))


class TinyResidual(nn.Module):
    """Two strided convolutions, each with a way around it."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1)
        self.branches = nn.ModuleList(nn.Conv2d(16, 16, 3, stride=2, padding=1) for _ in range(2))
        self.ways = nn.ModuleList(nn.Conv2d(16, 16, 1, stride=2) for _ in range(2))
        self.head = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of unit-scale images (N, channels, H, W)."""
        features = torch.relu(self.stem(images))
        for branch, way in zip(self.branches, self.ways, strict=True):
            features = torch.relu(branch(features) + way(features))
        return self.head(features.mean((2, 3)))


def grid(images, order: Order) -> Tensor:
    """Add one checkerboard to all images of a class, another for each class."""
    height, width = images.images.shape[2:]
    signs = torch.empty(len(images.classes), height, width, dtype=torch.int16)
    for label in range(len(images.classes)):
        rows, columns = torch.arange(height) // (1 + label % 4), torch.arange(width) // (1 + label // 4)
        signs[label] = 1 - 2 * ((rows[:, None] + columns) % 2).to(torch.int16)
    changed = images.images.to(torch.int16) + order.epsilon * signs[images.labels][:, None]
    return changed.clamp(0, 255).to(torch.uint8)


EXPLOITERS = {
    "denoise": Family("a small net learns to take noise off", denoise, (2, 8), (1, 64), "levels of noise")
}
NETS = {"tiny-residual": Net(TinyResidual, "16 channels, strides and ways around")}
DEFENDERS = {"grid": Defender(grid, "one checkerboard for each class")}

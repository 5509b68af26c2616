from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from ulecli.transforms.crops import cropped, padded


@pytest.mark.parametrize("edge", ["constant", "reflect"])
def test_crops_are_those_of_a_plain_loop(edge) -> None:
    rng = np.random.default_rng(0)
    levels = torch.from_numpy(rng.integers(0, 256, (9, 3, 6, 5), dtype=np.uint8))
    chosen = torch.tensor([3, 0, 8, 3, 5])
    down, right = torch.from_numpy(rng.integers(0, 5, (2, 5)))
    mirrored = torch.tensor([True, False, True, False, False])
    found = cropped(padded(levels, 2, edge), chosen, (6, 5), down, right, mirrored)
    wide = functional.pad(levels.float(), (2, 2, 2, 2), edge).byte()
    for number, image in enumerate(found):
        top, left = int(down[number]), int(right[number])
        wanted = wide[chosen[number], :, top : top + 6, left : left + 5]
        assert torch.equal(image, wanted.flip(2) if mirrored[number] else wanted)

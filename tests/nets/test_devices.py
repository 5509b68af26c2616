from __future__ import annotations

import pytest
import torch

from ulecli.data.shapes import shapes
from ulecli.errors import DeviceUnavailable
from ulecli.evaluation.defenders import defend
from ulecli.evaluation.exploiters.countermeasure import Countermeasure
from ulecli.evaluation.exploiters.protocol import PRESETS
from ulecli.evaluation.exploiters.training import train_exploiter
from ulecli.nets.devices import usable_device

NONE_SUCH = "gpu" if torch.cuda.is_available() else "cuda"


def test_what_torch_can_use_is_returned() -> None:
    assert usable_device("cpu") == usable_device(torch.device("cpu")) == torch.device("cpu")
    torch.zeros(1, device=usable_device("auto"))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", NONE_SUCH, "", "xla"])
def test_what_torch_can_not_use_is_an_error_of_its_own(device: str) -> None:
    with pytest.raises(DeviceUnavailable, match=rf"the device '{device}' here.*take cpu"):
        usable_device(device)


def test_training_and_protecting_ask_for_it() -> None:
    images = shapes(20)
    protocol = PRESETS["quick"].small
    with pytest.raises(DeviceUnavailable):
        train_exploiter(images, images, protocol, Countermeasure(), 0, device=NONE_SUCH)
    with pytest.raises(DeviceUnavailable):
        defend("cifar", images, device=NONE_SUCH)

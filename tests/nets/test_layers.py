from __future__ import annotations

import pytest
import torch

from ulecli.errors import UsageError
from ulecli.nets.layers import Deviations, check_channels


def test_features_are_divided_by_their_deviations() -> None:
    layer = Deviations(3)
    features = torch.tensor([[1.0, -2.0, 3.0], [0.0, 4.0, 5.0]])
    assert torch.equal(layer(features), features)  # until some are known
    layer.load_state_dict({"deviations": torch.tensor([2.0, 4.0, 0.5])})
    assert torch.equal(layer(features), torch.tensor([[0.5, -0.5, 6.0], [0.0, 1.0, 10.0]]))
    assert list(layer.state_dict()) == ["deviations"] and not list(layer.parameters())


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_numbers_of_channels_are_refused(channels: int) -> None:
    assert (check_channels(1), check_channels(3)) == (1, 3)
    with pytest.raises(UsageError, match=f"not {channels}"):
        check_channels(channels)

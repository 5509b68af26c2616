from __future__ import annotations

import onnx
import pytest

from ulecli.errors import ModelError
from ulecli.surrogates import store
from ulecli.surrogates.export import graph_of


@pytest.mark.parametrize("name", store.names())
def test_a_graph_written_anew_asks_and_gives_what_the_shipped_one_does(name: str) -> None:
    shipped, anew = store.verified_bytes(name, ".0.onnx"), graph_of(name)
    kept, fresh = (onnx.load_from_string(graph).graph for graph in (shipped, anew))
    for ours, theirs in ((kept.input, fresh.input), (kept.output, fresh.output)):
        assert [(one.name, one.type) for one in ours] == [(one.name, one.type) for one in theirs]
    assert len(anew) == pytest.approx(len(shipped), rel=0.01)
    second = {"labels"} if "layer" not in store.load_card(name).net else {"direction"}
    assert {one.name for one in fresh.input} == {"images"} | second


def test_the_weights_of_pretrained_features_are_stored_in_half_precision() -> None:
    weights = onnx.load_from_string(graph_of("photo")).graph.initializer
    largest = max(weights, key=lambda one: len(one.raw_data))
    assert largest.data_type == onnx.TensorProto.FLOAT16


def test_an_unknown_surrogate_has_no_graph() -> None:
    with pytest.raises(ModelError, match="no surrogate 'nobody'"):
        graph_of("nobody")

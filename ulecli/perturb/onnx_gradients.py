"""Gradients from a gradient graph in onnxruntime: protection without torch."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from ulecli.errors import DeviceUnavailable, ModelError
from ulecli.transforms.views import Floats, View
from ulecli.units import LEVELS

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""onnxruntime's names of what can run a graph, by ours."""


def available() -> frozenset[str]:
    """Return our names of the providers that the installed onnxruntime was built with."""
    built = onnxruntime.get_available_providers()
    return frozenset(ours for ours, theirs in PROVIDERS.items() if theirs in built)


class OnnxGradients:
    """`Gradients` of a surrogate that is a gradient graph; arrays are numpy's. Safe to share between threads.

    Attributes:
        session: Runs the graph.
    """

    def __init__(self, graph: bytes, provider: str = "cpu", *, threads: int = 1) -> None:
        """Load a graph.

        Args:
            graph: The serialised model, as `ulecli.perturb.gradient_graph` writes it.
            provider: A key of `PROVIDERS`.
            threads: Threads for one gradient.

        Raises:
            DeviceUnavailable: onnxruntime can't run the graph there.
            ModelError: the graph can't be loaded.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = provider != "directml"  # which that provider demands
        # Idle threads that spin would take the cores from the photos being decoded and encoded.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        name = PROVIDERS[provider]
        try:
            self.session = onnxruntime.InferenceSession(graph, options, providers=[name])
        except Exception as error:  # onnxruntime raises bare RuntimeErrors of its own
            if provider == "cpu":
                raise ModelError(
                    f"onnxruntime can't load the surrogate ({error}); reinstall ulecli"
                ) from error
            raise DeviceUnavailable(f"onnxruntime can't use {name} ({error}); choose --device cpu") from error
        # onnxruntime falls back to the CPU without a word where a provider's libraries are missing.
        if self.session.get_providers()[0] != name:
            raise DeviceUnavailable(
                f"onnxruntime has {name} but could not start it (are its driver and libraries installed?); "
                "choose --device cpu"
            )
        self._target = self.session.get_inputs()[1]

    def asarray(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values themselves."""
        return values

    def asnumpy(self, values: Floats) -> Floats:
        """Return the values themselves."""
        return values

    def sign(self, values: Floats) -> Floats:
        """Return -1, 0 or 1 for each value."""
        return np.sign(values)

    def gradient(self, images: Floats, delta: Floats, targets: NDArray[Any], view: View | None) -> Floats:
        """Return the gradient of the summed loss by delta; see `Gradients.gradient`."""
        shown = images + delta
        seen = look(shown.clip(0, 1), view)
        outputs: list[Any] = self.session.run(["gradient"], {"images": seen, self._target.name: targets})
        gradient: Floats = outputs[0] if view is None else view.adjoint(outputs[0])
        # Clipping passes a gradient only where a step along it leads back inside.
        passed: Floats = gradient * (((shown <= 1) | (gradient > 0)) & ((shown >= 0) | (gradient < 0)))
        return passed if delta.shape[1] == passed.shape[1] else passed.sum(axis=1, keepdims=True)

    def features(self, images: Floats) -> Floats:
        """Return the features of images, of a graph that has some; see `FeatureGradients.features`."""
        nowhere = np.zeros((0, *self._target.shape[1:]), np.float32)  # spares the way back
        feeds = {"images": np.ascontiguousarray(images, np.float32), self._target.name: nowhere}
        found: Floats = self.session.run(["feature"], feeds)[0]
        return found


def look(shown: Floats, view: View | None) -> Floats:
    """Return the images (N, C, S, S) as the net sees them, (N, C, h, w): stored, then cropped and resized."""
    if view is None:
        return np.ascontiguousarray(shown, np.float32)
    if view.quality or view.bits < 8:
        shown = _stored(shown, view)
    return np.ascontiguousarray(view.see(shown), np.float32)


def _stored(shown: Floats, view: View) -> Floats:
    levels = np.rint(shown * LEVELS).clip(0, LEVELS).astype(np.uint8)
    if view.quality:
        levels = np.stack([_through_jpeg(image, view.quality) for image in levels])
    else:
        levels &= np.uint8(0xFF << (8 - view.bits) & 0xFF)
    return levels.astype(np.float32) / np.float32(LEVELS)


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    # A gray JPEG is the luma of the RGB one, bit by bit; RGB is stored with Pillow's 4:2:0.
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=quality)
    pixels = np.asarray(Image.open(stored))
    return pixels[None] if len(image) == 1 else pixels.transpose(2, 0, 1)

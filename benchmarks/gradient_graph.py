"""Compare gradient graphs in onnxruntime with torch's autograd: error, time and size, for five nets.

    python benchmarks/gradient_graph.py
    python benchmarks/gradient_graph.py --exported --nets vgg11

Both compute the gradient of the same images in turn, in one thread; the least processor time of each is
printed, as other processes disturb it least. The error is that of each image's gradient, max|difference| over
max|gradient| against autograd in double precision, and the median over the images: single images can be off
by more, with autograd in single precision too, where an activation lies on a kink. Weights are random and
batch statistics those of random images.

With --exported, torch writes a graph as well: `make_fx` over `torch.func.grad`, exported by `torch.onnx`. It
takes the package onnxscript and a minute or more for each net, and its graph takes images of one size.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from timing import conditions
from torch import nn
from torch.nn import functional as F

from ulecli.nets.registry import make_net
from ulecli.nets.seeding import seeded
from ulecli.perturb.gradient_graph import gradient_graph
from ulecli.system.torchvision_shim import import_torchvision

BATCH, CLASSES, REPEATS = 4, 10, 5

Gradient = Callable[[], NDArray[np.float32]]


def efficientnet_lite() -> nn.Module:
    """Return EfficientNet-B0 without what the Lite form leaves out: ReLU6 for SiLU, no squeeze-and-excite."""
    net: nn.Module = import_torchvision().models.efficientnet_b0(num_classes=CLASSES)
    for layer in list(net.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.SiLU):
                setattr(layer, name, nn.ReLU6(inplace=True))
            elif type(child).__name__ == "SqueezeExcitation":
                setattr(layer, name, nn.Identity())
    return net


NETS: Mapping[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: make_net("resnet18", channels=3, classes=CLASSES), 32),
    "mobilenet-v3-small": (lambda: import_torchvision().models.mobilenet_v3_small(num_classes=CLASSES), 96),
    "efficientnet-lite": (efficientnet_lite, 96),
    "vgg11": (lambda: make_net("vgg11", channels=3, classes=CLASSES), 32),
    "densenet121": (lambda: make_net("densenet121", channels=3, classes=CLASSES), 32),
}
"""How each net is made, and the side of the images it is shown."""


def with_statistics(net: nn.Module, side: int) -> nn.Module:
    """Return a net in evaluation mode whose batch norm has the statistics of random images."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean of all batches, of which there is one
    with torch.no_grad():
        net.train()(torch.rand(16, 3, side, side))
    return net.eval().requires_grad_(False)


def autograd(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> NDArray[Any]:
    """Return the gradient of the summed loss by the images."""
    images = images.detach().requires_grad_()
    loss = F.cross_entropy(net(images), labels, reduction="sum")
    found: NDArray[Any] = torch.autograd.grad(loss, images)[0].numpy()
    return found


def in_onnxruntime(graph: bytes, images: torch.Tensor, labels: torch.Tensor) -> Gradient:
    """Return what runs a graph in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    inputs = {"images": images.numpy(), "labels": labels.numpy()}

    def run() -> NDArray[np.float32]:
        gradient: NDArray[np.float32] = session.run(["gradient"], inputs)[0]
        return gradient

    return run


def exported(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> bytes:
    """Return the gradient graph that torch writes."""
    from torch.fx.experimental.proxy_tensor import make_fx

    def loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(net(images), labels, reduction="sum")

    aten = torch.ops.aten
    undone = ("hardswish", "hardsigmoid", "hardtanh", "threshold", "nll_loss")
    ready = [getattr(aten, f"{name}_backward") for name in undone]
    ready += [aten.native_batch_norm, aten._log_softmax_backward_data]
    table: Any = {
        **torch._decomp.get_decompositions(ready),
        aten.convolution_backward.default: _convolution_backward,
        aten.avg_pool2d_backward.default: _average_backward,
    }
    traced = make_fx(torch.func.grad(loss), table, _allow_non_fake_inputs=True)(images, labels)
    program = torch.export.export(traced, (images, labels))
    written = torch.onnx.export(
        program, input_names=["images", "labels"], output_names=["gradient"], verbose=False
    )
    assert written is not None
    return bytes(written.model_proto.SerializeToString())


def _convolution_backward(
    gradient: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, *rest: Any
) -> Any:
    _, stride, padding, dilation, _, _, groups, _ = rest
    sides = zip(images.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    left = [(size + 2 * pad - step * (side - 1) - 1) % by for size, side, by, pad, step in sides]
    back = torch.ops.aten.convolution(gradient, weight, None, stride, padding, dilation, True, left, groups)
    return back, None, None


def _average_backward(gradient: torch.Tensor, images: torch.Tensor, kernel: list[int], *_: Any) -> Any:
    high, wide = kernel
    return (gradient / (high * wide)).repeat_interleave(high, 2).repeat_interleave(wide, 3)


def measure(ways: Mapping[str, Gradient]) -> dict[str, float]:
    """Return the least milliseconds of processor time of each, run in turn."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(REPEATS):
        for way, run in ways.items():
            start = time.process_time()
            run()
            best[way] = min(best[way], 1e3 * (time.process_time() - start))
    return best


def compare(name: str, export: bool) -> None:
    """Print the lines of one net."""
    make, side = NETS[name]
    with seeded(0):
        net = with_statistics(make(), side)
        images, labels = torch.rand(BATCH, 3, side, side), torch.arange(BATCH) % CLASSES
    exact = autograd(net.double(), images.double(), labels)
    net.float()
    graphs = {"gradient graph": gradient_graph(net, 3)}
    if export:
        graphs["exported by torch"] = exported(net, images, labels)
    ways: dict[str, Gradient] = {"autograd": lambda: autograd(net, images, labels)}
    ways |= {way: in_onnxruntime(graph, images, labels) for way, graph in graphs.items()}
    errors = {}
    for way, run in ways.items():
        apart = np.abs(run() - exact).max((1, 2, 3)) / np.abs(exact).max((1, 2, 3))
        errors[way] = float(np.median(apart))
    times = measure(ways)
    for way in ways:
        size = f"{len(graphs[way]) / 1e6:6.1f} MB" if way in graphs else ""
        ratio = times["autograd"] / times[way]
        print(f"{name:20}{way:18} {times[way]:8.1f} ms {ratio:5.2f}x {errors[way]:9.1e} {size}", flush=True)


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--exported", action="store_true", help="also the graph that torch exports")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(conditions("torch", "onnxruntime"))
    print(f"{BATCH} images; times autograd's speed; median error")
    for name in chosen.nets:
        compare(name, chosen.exported)


if __name__ == "__main__":
    main()

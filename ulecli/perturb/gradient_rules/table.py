"""The rules by the names of the torch functions and methods that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ulecli.perturb.gradient_rules import activations, arithmetic, convolution, pooling, reshaping
from ulecli.perturb.gradient_rules.graph import Emitted

Rule = Callable[..., Emitted | reshaping.Size | reshaping.Sizes]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "adaptive_avg_pool2d": pooling.adaptive_avg_pool2d,
        "adaptive_max_pool2d": pooling.adaptive_max_pool2d,
        "add": arithmetic.add,
        "amax": arithmetic.amax,
        "avg_pool2d": pooling.avg_pool2d,
        "cat": arithmetic.cat,
        "concat": arithmetic.cat,
        "contiguous": reshaping.identity,
        "conv2d": convolution.conv2d,
        "div": arithmetic.div,
        "dropout": reshaping.dropout,
        "dropout2d": reshaping.dropout,
        "elu": activations.elu,
        "flatten": reshaping.flatten,
        "gelu": activations.gelu,
        "getattr": reshaping.attribute,
        "hardsigmoid": activations.hardsigmoid,
        "hardswish": activations.hardswish,
        "hardtanh": activations.hardtanh,
        "iadd": arithmetic.add,
        "imul": arithmetic.mul,
        "isub": arithmetic.sub,
        "itruediv": arithmetic.div,
        "leaky_relu": activations.leaky_relu,
        "linear": convolution.linear,
        "max_pool2d": pooling.max_pool2d,
        "mean": arithmetic.mean,
        "mul": arithmetic.mul,
        "neg": arithmetic.neg,
        "pad": reshaping.pad,
        "relu": activations.relu,
        "relu6": activations.relu6,
        "reshape": reshaping.view,
        "sigmoid": activations.sigmoid,
        "silu": activations.silu,
        "size": reshaping.size,
        "stochastic_depth": reshaping.stochastic_depth,
        "sub": arithmetic.sub,
        "tanh": activations.tanh,
        "truediv": arithmetic.div,
        "view": reshaping.view,
    }
)

"""ONNX forms of operations that only move values."""

from typing import Any

from torch import fx
from torch.nn.modules.padding import _ConstantPadNd

from actpress.deploy.onnx.emission import Emission, given
from actpress.graph.operators import operator_of
from actpress.graph.values import shape_of


def unchanged(emission: Emission, node: fx.Node) -> str:
    """Nothing is written."""
    return emission.operand(node)


def reshape(emission: Emission, node: fx.Node) -> str:
    """To the shape that was captured; the batch axis stays as it is."""
    before, after = shape_of(node.all_input_nodes[0]), shape_of(node)
    if not after or before[0] != after[0]:
        raise emission.refusal(
            node, f"from {before} to {after} it moves images out of the first axis"
        )
    shape = emission.integers(node, [0, *after[1:]], "shape")
    return emission.write(node, "Reshape", [emission.operand(node), shape])


def permute(emission: Emission, node: fx.Node) -> str:
    """Of axes; the batch axis stays first."""
    rank = len(shape_of(node))
    if operator_of(node, emission.root).name == "permute":
        dims: Any = given(node, "input dims")["dims"]
        several: Any = dims if isinstance(dims, tuple | list) else node.args[1:]
        axes = [int(axis) % rank for axis in several]
    else:
        settings, axes = given(node, "input dim0 dim1"), list(range(rank))
        first, second = settings["dim0"], settings["dim1"]
        axes[first], axes[second] = axes[second], axes[first]
    if axes[0] != 0:
        raise emission.refusal(node, "it moves the axis of the images")
    return emission.write(node, "Transpose", [emission.operand(node)], perm=axes)


def concatenate(emission: Emission, node: fx.Node) -> str:
    """Along any axis but that of the images."""
    settings = given(node, "tensors dim")
    operands = [emission.tensor(node, each) for each in settings["tensors"]]
    axis = int(settings.get("dim", 0)) % len(shape_of(node))
    if axis == 0:
        raise emission.refusal(node, "it joins images")
    return emission.write(node, "Concat", operands, axis=axis)


def mean(emission: Emission, node: fx.Node) -> str:
    """Over any axes but that of the images."""
    settings = given(node, "input dim keepdim")
    wanted, rank = settings.get("dim"), len(shape_of(node.all_input_nodes[0]))
    axes = [wanted] if isinstance(wanted, int) else list(wanted or range(rank))
    axes = [int(axis) % rank for axis in axes]
    if 0 in axes:
        raise emission.refusal(node, "it takes the mean of several images")
    constant = emission.integers(node, axes, "axes")
    keep = int(bool(settings.get("keepdim")))
    return emission.write(node, "ReduceMean", [emission.operand(node), constant], keepdims=keep)


def pad(emission: Emission, node: fx.Node) -> str:
    """With a constant."""
    module = emission.module(node)
    if module is None:
        settings = given(node, "input pad mode value")
        amounts, mode = list(settings["pad"]), settings.get("mode", "constant")
        value = float(settings.get("value") or 0)
    else:
        found = vars(module)
        amounts, value = list(found["padding"]), float(found.get("value", 0))
        mode = "constant" if isinstance(module, _ConstantPadNd) else "other"
    if mode != "constant":
        raise emission.refusal(node, "expected padding with a constant")
    rank, axes = len(shape_of(node)), len(amounts) // 2
    before = [0] * (rank - axes) + [int(each) for each in amounts[::2][::-1]]
    after = [0] * (rank - axes) + [int(each) for each in amounts[1::2][::-1]]
    pads = emission.integers(node, before + after, "pads")
    constant = emission.tensor(node, value)
    return emission.write(node, "Pad", [emission.operand(node), pads, constant])

"""ONNX forms of activations and arithmetic."""

from collections.abc import Callable

import numpy as np
from torch import fx, nn

from actpress.deploy.onnx.emission import Emission, given

Form = Callable[[Emission, fx.Node], str]


def plain(operator: str) -> Form:
    """An ONNX operator of one operand and no attributes."""

    def form(emission: Emission, node: fx.Node) -> str:
        return emission.write(node, operator, [emission.operand(node)])

    return form


def with_setting(operator: str, setting: str, attribute: str, default: float) -> Form:
    """An ONNX operator with one attribute, which torch calls `setting`, its second parameter."""

    def form(emission: Emission, node: fx.Node) -> str:
        module = emission.module(node)
        settings = given(node, f"input {setting}") if module is None else vars(module)
        value = float(settings.get(setting, default))
        return emission.write(node, operator, [emission.operand(node)], **{attribute: value})

    return form


def relu6(emission: Emission, node: fx.Node) -> str:
    """The clip to 0 and 6."""
    return _clip(emission, node, 0.0, 6.0)


def clamp(emission: Emission, node: fx.Node) -> str:
    """Of numbers; also `hardtanh`."""
    module = emission.module(node)
    if isinstance(module, nn.Hardtanh):
        return _clip(emission, node, module.min_val, module.max_val)
    settings = given(node, "input min max")
    low = settings.get("min", settings.get("min_val"))
    high = settings.get("max", settings.get("max_val"))
    for bound in (low, high):
        if not isinstance(bound, int | float | None):
            raise emission.refusal(node, "its bounds are tensors, expected numbers")
    return _clip(emission, node, low, high)


def _clip(emission: Emission, node: fx.Node, low: float | None, high: float | None) -> str:
    bounds = [
        "" if value is None else emission.writer.constant(np.array(value, np.float32), name)
        for value, name in ((low, f"{node.name}.low"), (high, f"{node.name}.high"))
    ]
    return emission.write(node, "Clip", [emission.operand(node), *bounds])


def hard_sigmoid(emission: Emission, node: fx.Node) -> str:
    """PyTorch's slope is 1/6, ONNX's default 0.2."""
    return emission.write(node, "HardSigmoid", [emission.operand(node)], alpha=1 / 6)


def silu(emission: Emission, node: fx.Node) -> str:
    """X * sigmoid(x)."""
    operand = emission.operand(node)
    gate = emission.writer.node("Sigmoid", [operand], f"{node.name}.gate")
    return emission.write(node, "Mul", [operand, gate])


def gelu(emission: Emission, node: fx.Node) -> str:
    """Exact, or by tanh."""
    module = emission.module(node)
    settings = given(node, "input approximate") if module is None else vars(module)
    approximate = str(settings.get("approximate", "none"))
    return emission.write(node, "Gelu", [emission.operand(node)], approximate=approximate)


def prelu(emission: Emission, node: fx.Node) -> str:
    """One slope for all channels, or one for each."""
    module = emission.module(node)
    if not isinstance(module, nn.PReLU) or module.num_parameters != 1:
        raise emission.refusal(node, "expected a module with a single slope")
    slope = emission.parameter(node, "weight")
    assert slope is not None
    return emission.write(node, "PRelu", [emission.operand(node), slope])


def arithmetic(operator: str) -> Form:
    """Of two operands, tensors or numbers; a third, `alpha`, is refused."""

    def form(emission: Emission, node: fx.Node) -> str:
        settings = given(node, "input other")
        if settings.get("alpha", 1) != 1 or settings.get("rounding_mode") is not None:
            raise emission.refusal(node, "it has a factor or a rounding of its own")
        operands = [emission.tensor(node, settings[name]) for name in ("input", "other")]
        return emission.write(node, operator, operands)

    return form

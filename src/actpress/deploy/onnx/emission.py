"""One node of the captured graph at a time: where its operands and arguments are."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from actpress.deploy.onnx.writer import Writer
from actpress.errors import ExportError
from actpress.graph.operators import human_name, operator_of
from actpress.graph.values import shape_of

FIXED_INPUT = "input"


@dataclass
class Emission:
    """What has been written of a network.

    Attributes:
        root: owns the modules and weights.
        writer: takes the nodes.
        names: tensor of each node of the captured graph that has been written.
    """

    root: nn.Module
    writer: Writer
    names: dict[fx.Node, str] = field(default_factory=dict)

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that the node calls, if it calls one."""
        return self.root.get_submodule(str(node.target)) if node.op == "call_module" else None

    def operand(self, node: fx.Node) -> str:
        """Tensor of the first argument."""
        return self.tensor(node, node.args[0] if node.args else node.kwargs.get(FIXED_INPUT))

    def tensor(self, node: fx.Node, value: object) -> str:
        """Tensor of an argument: written already, a parameter, or a number.

        Raises:
            ExportError: it is something else.
        """
        if isinstance(value, fx.Node):
            if value.op == "get_attr":
                path = str(value.target)
                return self.writer.shared(as_array(self.state(path)), path)
            if value in self.names:
                return self.names[value]
        elif isinstance(value, int | float):
            return self.writer.constant(np.array(value, np.float32), f"{node.name}.number")
        raise self.refusal(node, f"an operand is {value!r}, not a tensor")

    def state(self, path: str) -> Tensor:
        """The parameter or buffer at a path."""
        owner, _, name = path.rpartition(".")
        found: Tensor = getattr(self.root.get_submodule(owner), name)
        return found

    def parameter(self, node: fx.Node, attribute: str) -> str | None:
        """Tensor of a parameter or buffer of the module that the node calls; None without it."""
        values = getattr(self.module(node), attribute)
        if values is None:
            return None
        return self.writer.shared(as_array(values), f"{node.target}.{attribute}")

    def write(self, node: fx.Node, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add an ONNX node named after a node of the captured graph."""
        return self.writer.node(operator, inputs, node.name, **attributes)

    def integers(self, node: fx.Node, values: list[int], what: str) -> str:
        """A constant of whole numbers."""
        return self.writer.constant(np.array(values, np.int64), f"{node.name}.{what}")

    def refusal(self, node: fx.Node, why: str) -> ExportError:
        """The error that says which operation cannot be written, and why."""
        operator = operator_of(node, self.root).name
        return ExportError(f"{human_name(node, self.root)} ({operator}: {why})")


def as_array(values: Tensor) -> NDArray[np.float32]:
    """On the CPU, float32."""
    found: NDArray[np.float32] = values.detach().cpu().to(torch.float32).numpy()
    return found


def given(node: fx.Node, names: str) -> dict[str, Any]:
    """Arguments of a function or method by name; those that were not given are absent.

    Args:
        node: whose arguments.
        names: of the parameters in order, the first operand included, separated by blanks.
    """
    by_position = dict(zip(names.split(), node.args, strict=False))
    return {**by_position, **node.kwargs}


def pair(value: Any, axes: int = 2) -> list[int]:
    """One number per spatial axis."""
    return [int(each) for each in value] if isinstance(value, tuple | list) else [int(value)] * axes


def spatial_axes(node: fx.Node) -> int:
    """Of a node's value."""
    return len(shape_of(node)) - 2

"""Nodes and constants of an ONNX graph that is being written."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Writer:
    """Collects nodes in the order in which they are computed.

    Attributes:
        nodes, constants: so far.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name, `name` if that is still free."""
        output = self._free(name)
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", **attributes)
        )
        return output

    def split(self, x: str, sizes: list[int], name: str) -> list[str]:
        """Cut the channel axis (axis 1) into parts; returns their tensors."""
        parts = [self._free(name) for _ in sizes]
        inputs = [x, self.constant(np.array(sizes, np.int64), f"{name}.sizes")]
        self.nodes.append(
            helper.make_node("Split", inputs, parts, name=f"{parts[0]}/Split", axis=1)
        )
        return parts

    def constant(self, values: NDArray[Any], name: str) -> str:
        """Add a constant; returns its name. Sub-byte types are packed."""
        taken = self._free(name)
        self.constants[taken] = numpy_helper.from_array(np.asarray(values, order="C"), taken)
        return taken

    def shared(self, values: NDArray[Any], name: str) -> str:
        """A constant that has this very name; added when it is asked for the first time."""
        return name if name in self.constants else self.constant(values, name)

    def _free(self, name: str) -> str:
        free, count = name, 1
        while free in self._taken:
            count += 1
            free = f"{name}#{count}"
        self._taken.add(free)
        return free

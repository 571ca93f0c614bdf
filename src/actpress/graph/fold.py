"""Which neighbouring layers can take a codec's projections into their weights."""

from collections import Counter
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.padding import _ConstantPadNd

from actpress.graph.groups import Group
from actpress.graph.operators import DENSE_MODULES, Kind, operator_of
from actpress.graph.values import dtype_of, shape_of

_GROUPS_POSITION = 6  # of F.conv*d and F.conv_transpose*d
_TRAINING_POSITION = 5  # of F.batch_norm


class Folding:
    """Answers questions about one traced graph of eval mode.

    Weights that are used twice are never folded into: each use has its own codec. Neither are those
    of a layer that computes in another type than float32, as codecs do.
    """

    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        self._root = root
        paths = (self._path(node) for node in graph.nodes)
        self._uses = Counter(path for path in paths if path)

    def encoder_module(self, group: Group, stored: fx.Node) -> str | None:
        """The group's dense layer, if only affine operations lie between it and `stored`."""
        if dtype_of(stored) is not torch.float32:
            return None
        path = self._dense_path(group.nodes[0])
        between = group.nodes[1 : group.nodes.index(stored) + 1]
        return path if all(self._is_affine(node) for node in between) else None

    def decoder_modules(self, group: Group) -> tuple[str, ...]:
        """The layers that read the group's value, if all are dense and get it unchanged."""
        if group.read_by_output or dtype_of(group.value) is not torch.float32:
            return ()
        readers = [node for nodes in group.readers.values() for node in nodes]
        paths = [self._dense_path(node) for node in readers]
        direct = all(self._reads_directly(node, group.value) for node in readers)
        found = tuple(path for path in paths if path is not None)
        return found if direct and len(found) == len(readers) else ()

    def weights_of_output(self, path: str) -> int:
        """Weights that a dense layer has for one channel of its output."""
        weight = self._weight(path)
        return weight.numel() // self._channels(path)[1]

    def weights_of_input(self, path: str) -> int:
        """Weights that a dense layer has for one channel of its input."""
        weight = self._weight(path)
        return weight.numel() // self._channels(path)[0]

    def _weight(self, path: str) -> Tensor:
        return cast(Tensor, self._root.get_submodule(path).weight)

    def _channels(self, path: str) -> tuple[int, int]:
        """Of input and output."""
        module = self._root.get_submodule(path)
        if isinstance(module, nn.Linear):
            return module.in_features, module.out_features
        assert isinstance(module, _ConvNd), "dense layers are linear or convolutions"
        return module.in_channels, module.out_channels

    def _dense_path(self, node: fx.Node) -> str | None:
        path = self._path(node)
        if path is None or self._uses[path] > 1 or _groups(node, self._root, path) != 1:
            return None
        linear = operator_of(node, self._root).name == "linear"
        # A linear layer works on the last axis, which is the channel axis of (n, c) only.
        return path if not linear or len(shape_of(node)) == 2 else None

    def _path(self, node: fx.Node) -> str | None:
        """Path of the convolution or linear module whose weight the node applies."""
        if node.op == "call_module":
            path = str(node.target)
            return path if _is_plain_dense(self._root.get_submodule(path)) else None
        if operator_of(node, self._root).kind is not Kind.DENSE or node.op != "call_function":
            return None
        weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
        if not isinstance(weight, fx.Node) or weight.op != "get_attr":
            return None
        path, _, attribute = str(weight.target).rpartition(".")
        dense = path and isinstance(self._root.get_submodule(path), DENSE_MODULES)
        return path if dense and attribute == "weight" else None

    def _is_affine(self, node: fx.Node) -> bool:
        operator = operator_of(node, self._root)
        if operator.kind is Kind.IDENTITY:
            return True
        if operator.name != "batch_norm":
            return False
        if node.op == "call_module":
            module = self._root.get_submodule(str(node.target))
            return isinstance(module, _BatchNorm) and module.track_running_stats
        return _argument(node, _TRAINING_POSITION, "training", default=False) is False

    def _reads_directly(self, reader: fx.Node, value: fx.Node) -> bool:
        operand = reader.all_input_nodes[0]
        while operand is not value:
            if not self._keeps_channels(operand):
                return False
            operand = operand.all_input_nodes[0]
        return True

    def _keeps_channels(self, view: fx.Node) -> bool:
        operator = operator_of(view, self._root)
        if operator.kind is Kind.IDENTITY:
            return True
        if operator.kind is Kind.RESHAPE:
            before, after = shape_of(view.all_input_nodes[0]), shape_of(view)
            return (
                len(after) >= 2 and before[:2] == after[:2] and set(before[2:] + after[2:]) <= {1}
            )
        return operator.name == "pad" and _pads_zeros(view, self._root)


def _is_plain_dense(module: nn.Module) -> bool:
    """Subclasses may do more than apply their weight."""
    return isinstance(module, DENSE_MODULES) and type(module).__module__.startswith("torch.nn")


def _groups(node: fx.Node, root: nn.Module, path: str) -> object:
    if node.op == "call_function" and operator_of(node, root).name != "linear":
        return _argument(node, _GROUPS_POSITION, "groups", default=1)
    module = root.get_submodule(path)
    return module.groups if isinstance(module, _ConvNd) else 1


def _pads_zeros(node: fx.Node, root: nn.Module) -> bool:
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return isinstance(module, _ConstantPadNd) and module.value == 0
    constant = _argument(node, 2, "mode", default="constant") == "constant"
    return constant and not _argument(node, 3, "value", default=0)


def _argument(node: fx.Node, position: int, name: str, *, default: object) -> object:
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)

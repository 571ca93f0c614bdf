"""Which neighbouring layers can take a codec's matrices into their weights."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.padding import _ConstantPadNd

from actpress.graph.dense import DenseLayer, Neighbours, Sides
from actpress.graph.functional import module_of_call, weight_name
from actpress.graph.layout import in_layout
from actpress.graph.operators import Kind, Operator, operator_of
from actpress.graph.values import dtype_of, holds_tensor, shape_of

DENSE_TYPES = frozenset(
    {nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d}
    | {nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
)
"""Exactly these: a subclass, as a parametrization makes one, may do more than apply its weight."""

NORM_TYPES = frozenset({nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm})

BY_CHANNEL = frozenset({"prelu", "rrelu"})
"""Activations that do not treat all channels alike, or draw numbers."""

HOMOGENEOUS = frozenset({"relu", "leaky_relu"})
"""f(s x) = s f(x) for s > 0."""


_NO_MODULE = nn.Module()


@dataclass(frozen=True)
class Writer:
    """The dense layer whose output becomes a stored value, up to operations of one pixel.

    Attributes:
        node: its call.
        layer: its form.
        between: nodes from the one after it to the stored value.
        affine: whether these are affine maps of each channel.
        homogeneous: whether they are that, or activations that scale with what they get.
    """

    node: fx.Node
    layer: DenseLayer
    between: tuple[fx.Node, ...]
    affine: bool
    homogeneous: bool


@dataclass(frozen=True)
class Reader:
    """A dense layer that reads a stored value as it is.

    Attributes:
        node: its call.
        layer: its form.
        views: nodes from the stored value to it: layouts, zero padding, axes of length 1.
    """

    node: fx.Node
    layer: DenseLayer
    views: tuple[fx.Node, ...]


class Folding:
    """Answers questions about one traced graph of eval mode.

    Weights that are used twice are never folded into: each use has its own codec. Neither are those
    of a layer that computes in another type than float32, as codecs do, or that has hooks.
    """

    def __init__(self, graph: fx.Graph, root: nn.Module, *, without: Collection[str] = ()) -> None:
        """Look at a graph.

        Args:
            graph: of eval mode, with notes on its values.
            root: owns its modules.
            without: paths of modules that are no layers of the network, such as those of codecs.
        """
        self._root = root
        self._without = frozenset(without)
        self._uses = Counter(_tensors_used(graph, root))
        self._calls: dict[fx.Node, tuple[nn.Module, str]] = {}

    def writer(self, stored: fx.Node) -> Writer | None:
        """The layer that writes a value, if nothing but operations on single channels follows it.

        What lies between must have no other readers. Activations treat all channels alike, which
        normalisation does not: it only comes before them.
        """
        node, between, affine, homogeneous, norm = stored, list[fx.Node](), True, True, False
        while _is_float32(node) and (node is stored or len(node.users) == 1):
            layer = self._layer(node)
            if layer is not None:
                return Writer(node, layer, tuple(reversed(between)), affine, homogeneous)
            operator = operator_of(node, self._root)
            if not self._by_channel(node, operator) or (norm and operator.kind is Kind.ACTIVATION):
                return None
            norm = norm or operator.kind is Kind.NORM
            if operator.kind is Kind.ACTIVATION:
                affine, homogeneous = False, homogeneous and operator.name in HOMOGENEOUS
            between.append(node)
            node = node.all_input_nodes[0]
        return None

    def readers(self, value: fx.Node) -> tuple[tuple[Reader, ...], tuple[fx.Node, ...]]:
        """The dense layers that read a value as it is, and all other nodes that read its numbers.

        Nodes that ask for its size are neither.
        """
        readers, others = [], []
        for user, views in self._users(value, ()):
            layer = self._layer(user)
            if layer is not None and _is_float32(value):
                readers.append(Reader(user, self._padded_by(layer, views), views))
            elif user.op == "output" or holds_tensor(user):
                others.append(user)
        return tuple(readers), tuple(others)

    def neighbours(self, stored: fx.Node, value: fx.Node) -> Neighbours:
        """The layers about a codec that gets `stored`, and whose reconstruction is `value`."""
        writer = self.writer(stored)
        readers, others = self.readers(value)
        return Neighbours(
            writer=None if writer is None else writer.layer,
            affine=writer is not None and writer.affine,
            readers=tuple(reader.layer for reader in readers),
            others=bool(others),
        )

    def _users(
        self, value: fx.Node, views: tuple[fx.Node, ...]
    ) -> Iterator[tuple[fx.Node, tuple[fx.Node, ...]]]:
        for user in value.users:
            if self._keeps_channels(user):
                yield from self._users(user, (*views, user))
            else:
                yield user, views

    def _padded_by(self, layer: DenseLayer, views: tuple[fx.Node, ...]) -> DenseLayer:
        """The layer, knowing whether a view before it pads."""
        padded = any(operator_of(view, self._root).name == "pad" for view in views)
        return replace(layer, zero_padded=True, padded_before=True) if padded else layer

    def _layer(self, node: fx.Node) -> DenseLayer | None:
        module, path = self._module(node)
        if path in self._without or type(module) not in DENSE_TYPES or not _is_float32(node):
            return None
        if any(self._uses[id(tensor)] > 1 for tensor in module.parameters()):
            return None
        before, after = shape_of(node.all_input_nodes[0]), shape_of(node)
        if isinstance(module, nn.Linear):
            # A linear layer works on the last axis, which is the channel axis of (n, c) only.
            linear = DenseLayer(path, module.in_features, module.out_features)
            return linear if len(after) == 2 else None
        assert isinstance(module, _ConvNd), "the other dense types are convolutions"
        return _convolution(path, module, before, after) if len(after) > 2 else None

    def _module(self, node: fx.Node) -> tuple[nn.Module, str]:
        """The module of torch.nn that a node calls, or stands for, and its path.

        A module that is not plain is none.
        """
        if node.op == "call_module":
            path = str(node.target)
            module = self._root.get_submodule(path)
            own = type(module).__module__.startswith("torch.nn.modules.")
            alone = len(node.all_input_nodes) == 1
            return (module if own and alone and is_plain(module) else _NO_MODULE), path
        if node not in self._calls:
            called = module_of_call(node, self._root)
            self._calls[node] = (called or _NO_MODULE), weight_name(node) if called else ""
        return self._calls[node]

    def _by_channel(self, node: fx.Node, operator: Operator) -> bool:
        """Whether an operation treats each value by itself, or is affine for each channel."""
        module, _ = self._module(node)
        if type(module) in NORM_TYPES:
            assert isinstance(module, _BatchNorm), "these are its subclasses"
            return module.running_mean is not None
        if len(node.all_input_nodes) != 1 or (node.op == "call_module" and module is _NO_MODULE):
            return False
        if operator.kind is Kind.IDENTITY:
            return True
        return operator.kind is Kind.ACTIVATION and operator.name not in BY_CHANNEL

    def _keeps_channels(self, view: fx.Node) -> bool:
        operator = operator_of(view, self._root)
        before, after = shape_of(view.all_input_nodes[0]), shape_of(view)
        if before[:2] != after[:2] or len(after) < 2 or not _is_float32(view):
            return False
        if view.op == "call_module" and not is_plain(self._root.get_submodule(str(view.target))):
            return False
        if operator.kind is Kind.IDENTITY or view.target is in_layout:
            return len(view.all_input_nodes) == 1
        if operator.kind is Kind.RESHAPE:
            return set(before[2:] + after[2:]) <= {1}
        return operator.name == "pad" and _pads_zeros(view, self._root)


def is_plain(module: nn.Module) -> bool:
    """Whether calling a module is nothing but its type's own forward."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "forward" not in vars(module) and not any(getattr(module, name) for name in hooks)


def _tensors_used(graph: fx.Graph, root: nn.Module) -> Iterator[int]:
    """Identities of parameters, once for every node that uses them."""
    for node in graph.nodes:
        if node.op == "call_module":
            yield from map(id, root.get_submodule(str(node.target)).parameters())
        elif node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            yield id(getattr(root.get_submodule(owner), name))


def _is_float32(node: fx.Node) -> bool:
    return dtype_of(node) is torch.float32


def _convolution(
    path: str, module: _ConvNd, before: tuple[int, ...], after: tuple[int, ...]
) -> DenseLayer:
    padding = _padding_of(module)
    zeros = module.padding_mode == "zeros"
    return DenseLayer(
        path,
        module.in_channels,
        module.out_channels,
        kernel=tuple(module.kernel_size),
        stride=tuple(module.stride),
        dilation=tuple(module.dilation),
        padding=padding,
        in_size=before[2:],
        out_size=after[2:],
        zero_padded=zeros and any(map(any, padding)),
        zeros=zeros,
        groups=module.groups,
        transposed=isinstance(module, _ConvTransposeNd),
    )


def _padding_of(module: _ConvNd) -> Sides:
    """Before and after, by axis; torch holds the axes from the last to the first."""
    flat = module._reversed_padding_repeated_twice  # noqa: SLF001  says what 'same' means
    pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
    return tuple(reversed(pairs))


def _pads_zeros(node: fx.Node, root: nn.Module) -> bool:
    """Whether zeros are put about the pixels of (n, c, ...), and channels stay where they are."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return isinstance(module, _ConstantPadNd) and module.value == 0
    sides = _argument(node, 1, "pad", default=None)
    pixels = isinstance(sides, tuple | list) and len(sides) <= 2 * (len(shape_of(node)) - 2)
    constant = _argument(node, 2, "mode", default="constant") == "constant"
    return pixels and constant and not _argument(node, 3, "value", default=0)


def _argument(node: fx.Node, position: int, name: str, *, default: object) -> object:
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)

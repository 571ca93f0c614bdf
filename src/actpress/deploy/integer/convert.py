"""From a compressed network to an integer one: a walk over the frozen graph."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, fx

from actpress.codec import IdentityProjection, SiteCodec
from actpress.deploy.affine import affine_codec
from actpress.deploy.freeze import DECODE, ENCODE, QUANTIZE, freeze
from actpress.deploy.integer import layers
from actpress.deploy.integer.activations import activation_of
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.integer.float32 import Float32
from actpress.deploy.integer.int8 import Int8
from actpress.deploy.integer.network import (
    Input,
    IntegerMap,
    IntegerNetwork,
    Stage,
    Weights,
    Window,
)
from actpress.deploy.integer.numbers import Numbers, Target
from actpress.deploy.integer.operands import (
    Bounds,
    Computed,
    Linear,
    Part,
    Pooling,
    Stored,
    Value,
    sum_of,
)
from actpress.deploy.integer.order import by_width
from actpress.deploy.integer.ranges import value_ranges
from actpress.deploy.integer.readings import LEVELS
from actpress.deploy.integer.stages import logit_stage, stage_of
from actpress.errors import ExportError
from actpress.graph.operators import human_name, operator_of
from actpress.graph.values import holds_tensor, shape_of
from actpress.pressing import CompressedModel

T = TypeVar("T", np.int64, np.float64)

WIDEST = 8
UNCHANGED = frozenset(
    {"identity", "dropout", "dropout1d", "dropout2d", "alpha_dropout", "contiguous", "clone"}
    | {"detach", "in_layout"}
)
FLATTENING = frozenset({"flatten", "view", "reshape", "squeeze"})
KINDS: dict[Weights, Numbers] = {Weights.INT8: Int8(), Weights.FLOAT32: Float32()}


def integer_network(
    pressed: CompressedModel, batches: Iterable[Tensor], *, weights: Weights = Weights.INT8
) -> IntegerNetwork:
    """The integer form of a compressed network.

    Args:
        pressed: with its ranges fixed, in eval mode, on the CPU.
        batches: training images as the network takes them, shape (n, c, h, w): ranges of what no
            codec bounds come from them.
        weights: numbers between the maps.

    Raises:
        ExportError: an operation or a codec has no integer form; names the module.
    """
    frozen = freeze(pressed)
    walk = _Walk(pressed, frozen, value_ranges(frozen, batches), KINDS[weights])
    for node in frozen.graph.nodes:
        walk.visit(node)
    return walk.result()


class _Walk:
    """The nodes of a frozen network, one after the other."""

    def __init__(
        self,
        pressed: CompressedModel,
        frozen: fx.GraphModule,
        ranges: dict[str, Bounds],
        numbers: Numbers,
    ) -> None:
        self._numbers = numbers
        self._codecs = pressed.codecs
        self._parts = {
            f"{path}.{part}": (site, part)
            for site, path in pressed.network.codec_paths.items()
            for part in (ENCODE, QUANTIZE, DECODE)
        }
        self._root = frozen
        self._ranges = ranges
        self._values: dict[fx.Node, Value] = {}
        self._stages: list[Stage] = []
        self._input: Input | None = None
        self._logit_scale: float | None = None
        self._forms: dict[str, Callable[[fx.Node, fx.Node], Value]] = {
            **dict.fromkeys(UNCHANGED, self._unchanged),
            **dict.fromkeys(FLATTENING, self._flattened),
            **dict.fromkeys(layers.CONVOLUTIONS, self._convolution),
            **dict.fromkeys(layers.POOLS, self._pooled),
            **dict.fromkeys(layers.CONCATENATIONS, self._concatenated),
            "batch_norm": self._normalised,
            "pad": self._padded,
            "add": self._sum,
        }

    def result(self) -> IntegerNetwork:
        """The network, once every node was visited."""
        assert self._input is not None
        assert self._logit_scale is not None
        made = IntegerNetwork(
            self._input,
            tuple(self._stages),
            self._logit_scale,
            weights=self._numbers.weights,
        )
        return by_width(made)

    def visit(self, node: fx.Node) -> None:
        """Convert one node."""
        if node.op == "placeholder":
            self._values[node] = self._image(node)
        elif node.op == "output":
            self._finish(node)
        elif node.op == "call_module" and node.target in self._parts:
            self._codec_part(node, *self._parts[str(node.target)])
        elif node.op != "get_attr" and holds_tensor(node):
            value = self._operator(node)
            if isinstance(value, Computed) and len(node.users) > 1:
                value = self._as_int8(value, node)
            self._values[node] = value

    def _image(self, node: fx.Node) -> Stored:
        if self._input is not None:
            raise ExportError(f"{node.target}: expected a network with one input")
        shape = _sizes(node)
        low, high = self._ranges[node.name]
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / LEVELS or 1.0
        zero = int(np.rint(-low / scale))
        stored = _whole_map(str(node.target), shape, -zero, LEVELS - zero)
        self._input = Input(stored, scale, zero)
        return Stored(stored, shape, np.full(shape[0], scale))

    def _codec_part(self, node: fx.Node, site: str, part: str) -> None:
        if part == ENCODE:
            self._values[node] = self._compressed(node, site)
            return
        value = self._values[node.all_input_nodes[0]]
        if part == DECODE and isinstance(value, Stored):
            value = replace(value, decoded=self._ranges[node.name])
        self._values[node] = value

    def _compressed(self, node: fx.Node, site: str) -> Stored:
        given = node.all_input_nodes[0]
        codec, shape = self._codecs[site], _sizes(given)
        target = _target_of(site, codec, shape)
        self._store(self._computed(given), target)
        return Stored(target.map, shape, target.step, target.affine)

    def _store(self, value: Computed, target: Target) -> None:
        self._stages.append(stage_of(value, target, self._ranges[value.node], self._numbers))

    def _as_int8(self, value: Computed, node: fx.Node) -> Stored:
        """A map of 8 bits for what has no codec."""
        low, high = self._ranges[node.name]
        low, high = min(low, 0.0), max(high, 0.0)
        step = (high - low) / LEVELS or 1.0
        zero = int(np.rint(-low / step))
        name = human_name(node, self._root)
        taken = {stage.target.name for stage in self._stages if stage.target is not None}
        unique = name if name not in taken else node.name
        stored = _whole_map(unique, value.shape, -zero, LEVELS - zero)
        steps = np.full(value.shape[0], step)
        self._store(value, Target(stored, steps))
        return Stored(stored, value.shape, steps, flat=value.flat)

    def _computed(self, node: fx.Node) -> Computed:
        """The value of a node as something that a stage computes."""
        value = self._values[node]
        if isinstance(value, Computed):
            return value
        if value.is_rearranged:
            raise self._refusal(node, "is of a padded or flattened map that is stored again")
        return sum_of(human_name(node, self._root), node.name, value.shape, [Part(value)])

    def _stored(self, node: fx.Node) -> Stored:
        """The value of a node in a map, of 8 bits where it is in none yet."""
        value = self._values[node]
        if isinstance(value, Computed):
            value = self._values[node] = self._as_int8(value, node)
        return value

    def _finish(self, node: fx.Node) -> None:
        (given,) = node.all_input_nodes
        value = self._computed(given)
        if value.shape[1:] != (1, 1):
            raise ExportError(f"{value.name}: the output has pixels, expected logits (n, classes)")
        stage, self._logit_scale = logit_stage(value, self._numbers)
        self._stages.append(stage)

    def _operator(self, node: fx.Node) -> Value:
        name = operator_of(node, self._root).name
        convert = self._forms.get(name)
        if convert is not None and node.all_input_nodes:
            return convert(node, node.all_input_nodes[0])
        return self._activated(node, name)

    def _activated(self, node: fx.Node, name: str) -> Value:
        module = self._root.get_submodule(str(node.target)) if node.op == "call_module" else None
        activation = activation_of(node, module, name)
        if activation is None or len(node.all_input_nodes) != 1:
            raise self._refusal(node, "has no integer form")
        value = self._values[node.all_input_nodes[0]]
        return replace(value, activations=(*value.activations, activation))

    def _unchanged(self, node: fx.Node, operand: fx.Node) -> Value:
        return self._values[operand]

    def _flattened(self, node: fx.Node, operand: fx.Node) -> Value:
        value = self._values[operand]
        channels, height, width = value.shape
        if len(shape_of(node)) != 2 or shape_of(node)[1] != channels * height * width:
            raise self._refusal(node, f"gives {shape_of(node)}, expected vectors of all pixels")
        if isinstance(value, Computed) and height * width > 1:
            value = self._stored(operand)
        return replace(value, flat=True)

    def _convolution(self, node: fx.Node, operand: fx.Node) -> Computed:
        source = self._stored(operand)
        operation = layers.linear_of(node, self._root, source)
        shape = _sizes(node)
        return Computed(human_name(node, self._root), shape, operation, node.name)

    def _normalised(self, node: fx.Node, operand: fx.Node) -> Computed:
        if node.op != "call_module":
            raise self._refusal(node, "is no module, and has no integer form")
        module = self._root.get_submodule(str(node.target))
        factor, constant = layers.norm_of(module, human_name(node, self._root))
        value = self._values[operand]
        if isinstance(value, Computed) and not value.parts and not value.activations:
            linear = value.operation
            if isinstance(linear, Linear):
                return replace(value, operation=linear.scaled(factor, constant), node=node.name)
        source = self._stored(operand)
        operation = layers.channelwise(source, factor, constant)
        return Computed(human_name(node, self._root), source.shape, operation, node.name)

    def _padded(self, node: fx.Node, operand: fx.Node) -> Stored:
        value = self._stored(operand)
        left, right, top, bottom = layers.padding_of(node, self._root)
        return replace(
            value,
            before=(value.before[0] + top, value.before[1] + left),
            after=(value.after[0] + bottom, value.after[1] + right),
        )

    def _pooled(self, node: fx.Node, operand: fx.Node) -> Computed:
        operation = layers.pooling_of(node, self._root, self._stored(operand))
        return Computed(human_name(node, self._root), _sizes(node), operation, node.name)

    def _sum(self, node: fx.Node, _: fx.Node) -> Computed:
        shape = _sizes(node)
        terms = [each for each in node.args if isinstance(each, fx.Node)]
        if len(terms) != 2 or len(node.args) != 2 or node.kwargs:
            raise self._refusal(node, "expected a sum of two maps")
        if any(_sizes(each) != shape for each in terms):
            raise self._refusal(node, "its operands have other shapes than their sum")
        own = [each for each in terms if self._is_open(each)]
        name = human_name(node, self._root)
        begun = sum_of(name, node.name, shape, [])
        if own:  # the later one is computed last, and the other one is stored
            begun = cast(Computed, self._values[own[-1]])
            terms.remove(own[-1])
        parts = [Part(self._part(each)) for each in terms]
        if not own:  # the one that was stored last is read as a source, and need not be stored
            last = self._stages[-1].target if self._stages else None
            parts.sort(key=lambda part: part.value.map is not last)
            pixel = Pooling(parts.pop(0).value, Window((1, 1)), 1)
            begun = replace(begun, operation=pixel)
        return replace(begun, parts=(*begun.parts, *parts), node=node.name)

    def _is_open(self, node: fx.Node) -> bool:
        value = self._values[node]
        return isinstance(value, Computed) and not value.activations

    def _part(self, node: fx.Node) -> Stored:
        value = self._stored(node)
        if value.is_rearranged:
            raise self._refusal(node, "is padded or flattened and joins a sum")
        return value

    def _concatenated(self, node: fx.Node, _: fx.Node) -> Computed:
        shape, axis = _sizes(node), layers.axis_of(node)
        if axis not in (1, 1 - len(shape_of(node))):
            raise self._refusal(node, f"joins maps along axis {axis}, expected 1")
        parts, first = [], 0
        for each in cast(list[fx.Node], node.args[0]):
            parts.append(Part(self._part(each), first))
            first += _sizes(each)[0]
        return sum_of(human_name(node, self._root), node.name, shape, parts)

    def _refusal(self, node: fx.Node, why: str) -> ExportError:
        name = operator_of(node, self._root).name
        return ExportError(f"{human_name(node, self._root)} ({name}) {why}")


def _target_of(site: str, codec: SiteCodec, shape: tuple[int, int, int]) -> Target:
    channels, height, width = shape
    q_min = codec.q_min.cpu().numpy().astype(np.int64)
    q_max = codec.q_max.cpu().numpy().astype(np.int64)
    if int((q_max - q_min).max()).bit_length() > WIDEST:
        raise ExportError(
            f"site {site} stores symbols of {int((q_max - q_min).max()).bit_length()} bits, "
            f"expected {WIDEST} at most; plan fewer there"
        )
    if not isinstance(codec.projection, IdentityProjection):
        if codec.block > 1:
            raise ExportError(
                f"site {site} projects blocks of {codec.block} x {codec.block} pixels, which have "
                f"no integer form; compress with --block 1"
            )
        affine = affine_codec(codec, channels)
        return Target(IntegerMap(site, len(q_min), height, width, q_min, q_max), None, affine)
    step = codec.step.detach().cpu().numpy().astype(np.float64)
    kept = codec.projection.kept
    if kept is not None:  # a dropped channel is a symbol of no bits
        dropped = np.zeros(channels, np.int64)
        members = kept.cpu().numpy()
        q_min, q_max = (_placed(each, members, dropped) for each in (q_min, q_max))
        step = _placed(step, members, np.ones(channels))
    return Target(IntegerMap(site, channels, height, width, q_min, q_max), step)


def _placed(values: NDArray[T], members: Array, others: NDArray[T]) -> NDArray[T]:
    whole = others.copy()
    whole[members] = values
    return whole


def _whole_map(name: str, shape: tuple[int, int, int], low: int, high: int) -> IntegerMap:
    every = np.ones(shape[0], np.int64)
    return IntegerMap(name, *shape, every * low, every * high)


def _sizes(node: fx.Node) -> tuple[int, int, int]:
    """Channels, height, width of a node's value; vectors have one pixel.

    Raises:
        ExportError: it is neither a map nor a vector.
    """
    shape = shape_of(node)
    if len(shape) == 2:
        return shape[1], 1, 1
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    raise ExportError(f"{node.target}: a value of shape {shape} has no integer form")

"""What a network stores: the sites of a traced graph."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from torch import fx, nn

from actpress.graph.arrangement import PLAIN, Arrangement
from actpress.graph.batch import rows_of
from actpress.graph.channels import channel_axis_of
from actpress.graph.dense import NO_NEIGHBOURS, Neighbours
from actpress.graph.fold import Folding
from actpress.graph.groups import Group, find_groups
from actpress.graph.operators import Kind, human_name, operator_of
from actpress.graph.values import is_float, shape_of
from actpress.plan import Placement

OUTPUT = "output"


@dataclass(frozen=True)
class Site:
    """A value that one fused group stores and others read.

    Attributes:
        name: module path of the last activation, else of the last operation; unique.
        shape: (c, ...) of one image, without the batch axis; channels come first, wherever the
            network has them (`arrangement`).
        producer: module path or operation that opens the group, such as a convolution.
        consumers: who reads the value, one name per reading group; `output` if it is returned.
        activation: `relu`, `silu`, ...; None when the value is stored without one.
        pre_node: name of the node before the activation, in the graph of eval mode.
        post_node: name of the node after it; the same as `pre_node` without an activation.
        before: the dense layers about the value of `pre_node`.
        after: the dense layers about the value of `post_node`.
        arrangement: where images and channels are in the value as the network stores it.
        shared_layers: paths of those dense layers that lie between two sites.
    """

    name: str
    shape: tuple[int, ...]
    producer: str
    consumers: tuple[str, ...]
    activation: str | None
    pre_node: str
    post_node: str
    before: Neighbours = NO_NEIGHBOURS
    after: Neighbours = NO_NEIGHBOURS
    arrangement: Arrangement = PLAIN
    shared_layers: frozenset[str] = frozenset()

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in the value as the network stores it: 1, or the last of tokens."""
        return self.arrangement.channel_axis

    @property
    def channels(self) -> int:
        """Length c of the channel axis."""
        return self.shape[0]

    @property
    def values(self) -> int:
        """Values that one image stores here."""
        return prod(self.shape)

    @property
    def reads(self) -> int:
        """How often the value is read, skip connections included."""
        return len(self.consumers)

    def node(self, placement: Placement) -> str:
        """Name of the node whose value is stored, in the graph of eval mode."""
        return self.pre_node if placement is Placement.PRE_ACT else self.post_node

    def neighbours(self, placement: Placement) -> Neighbours:
        """The dense layers about the stored value."""
        return self.before if placement is Placement.PRE_ACT else self.after

    def encoder_folds_into(self, placement: Placement) -> str | None:
        """The layer that can take the encoder's projection into its weights.

        None when something not linear or another value comes between that layer and the stored
        value, or when its channels do not mix (depthwise and grouped convolution).
        """
        return self.neighbours(placement).encoder_path

    def decoder_folds_into(self, placement: Placement) -> tuple[str, ...]:
        """The layers that can take the decoder's projection into their weights.

        They are convolutions and linear layers that get the value as it is stored; other readers
        decode it for themselves. Zero padding is allowed, see `DenseLayer.with_decoder`.
        """
        return self.neighbours(placement).decoder_paths


def default_placement(site: Site) -> Placement:  # noqa: ARG001  callers pass what they have
    """Before the nonlinearity, where channels are more correlated and the encoder can fold."""
    return Placement.PRE_ACT


@dataclass(frozen=True)
class Spot:
    """A site in the graph of one mode."""

    name: str
    pre: fx.Node
    post: fx.Node
    activation: fx.Node | None
    group: Group


def find_spots(graph: fx.Graph, root: nn.Module) -> tuple[Spot, ...]:
    """The stored values of one traced graph, in the order in which they are computed.

    Left out are values without an axis of images, or without one of channels.
    """
    groups = [group for group in find_groups(graph, root) if _is_stored(group)]
    places = {node: index for index, node in enumerate(graph.nodes)}
    groups.sort(key=lambda group: places[group.value])
    spots = [_spot(group, root) for group in groups]
    names = _unique(human_name(spot.activation or spot.post, root) for spot in spots)
    return tuple(
        Spot(name, spot.pre, spot.post, spot.activation, spot.group)
        for name, spot in zip(names, spots, strict=True)
    )


def build_sites(spots: tuple[Spot, ...], graph: fx.Graph, root: nn.Module) -> tuple[Site, ...]:
    """The sites of a graph of eval mode."""
    folding = Folding(graph, root)
    sites = [_site(spot, folding, root) for spot in spots]
    about = [around for site in sites for around in (site.before, site.after)]
    written = {around.writer.path for around in about if around.writer is not None}
    read = {layer.path for around in about for layer in around.readers}
    return tuple(replace(site, shared_layers=frozenset(written & read)) for site in sites)


def _site(spot: Spot, folding: Folding, root: nn.Module) -> Site:
    group, arrangement = spot.group, _arrangement(spot.group.value)
    readers = tuple(human_name(nodes[0], root) for nodes in group.readers.values())
    before, after = (
        folding.neighbours(node, node) if arrangement.is_trivial else NO_NEIGHBOURS
        for node in (spot.pre, spot.post)
    )
    return Site(
        name=spot.name,
        shape=arrangement.shape(shape_of(spot.post))[1:],
        producer=human_name(group.nodes[0], root),
        consumers=(*readers, OUTPUT) if group.read_by_output else readers,
        activation=operator_of(spot.activation, root).name if spot.activation else None,
        pre_node=spot.pre.name,
        post_node=spot.post.name,
        before=before,
        after=after,
        arrangement=arrangement,
    )


def values_without_images(graph: fx.Graph, root: nn.Module) -> tuple[str, ...]:
    """Names of stored values that are no sites, because none of their axes is of images."""
    return tuple(
        human_name(group.value, root)
        for group in find_groups(graph, root)
        if _is_read(group) and not _is_stored(group)
    )


def _is_stored(group: Group) -> bool:
    return _is_read(group) and rows_of(group.value) is not None


def _is_read(group: Group) -> bool:
    return bool(group.readers) and is_float(group.value) and len(shape_of(group.value)) > 1


def _arrangement(value: fx.Node) -> Arrangement:
    batch_axis, rows = rows_of(value) or (0, 1)
    channel_axis = channel_axis_of(value)
    if channel_axis == batch_axis:  # nothing told where channels are, and 1 is taken
        channel_axis = 1 - min(batch_axis, 1)
    return Arrangement(batch_axis, rows, channel_axis)


def _spot(group: Group, root: nn.Module) -> Spot:
    """The last activation with a value of its own before it and only unary operations after it."""
    for index in range(len(group.nodes) - 1, 0, -1):
        node, before = group.nodes[index], group.nodes[index - 1]
        if node in group.mixers or shape_of(before) != shape_of(group.value):
            break
        if operator_of(node, root).kind is Kind.ACTIVATION:
            return Spot("", before, group.value, node, group)
    return Spot("", group.value, group.value, None, group)


def _unique(names: Iterable[str]) -> list[str]:
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique

"""What a network computes in train mode, and where its sites are there, once somebody asks."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, fx, nn
from torch.fx.node import Argument, map_arg

from actpress.errors import ModelError
from actpress.graph.functionalize import set_inplace
from actpress.graph.programs import Wanted, exported_program, traced_program
from actpress.graph.sites import Spot, find_spots
from actpress.graph.state import graph_module
from actpress.graph.values import shape_of
from actpress.graph.whole import listed_by_timm
from actpress.plan import Placement
from actpress.settings import Capture


@dataclass(frozen=True)
class TrainMode:
    """The graph of train mode.

    Attributes:
        module: that of eval mode where the two do not differ, or there is none.
        nodes: names of the nodes that store each site's value, by site.
        missing: why there is none; empty where there is.
    """

    module: fx.GraphModule
    nodes: Mapping[str, Mapping[Placement, str]]
    missing: str = ""


class Training:
    """The train mode of a captured network: captured the same way, when it is first asked for.

    Most never ask, as actpress itself learns in eval mode. The network stays as it is; tensors that
    its forward makes of constants become buffers of it.
    """

    def __init__(
        self,
        root: nn.Module,
        inplace: Sequence[str],
        inputs: tuple[Tensor, ...],
        wanted: Wanted,
        eval_module: fx.GraphModule,
        eval_spots: tuple[Spot, ...],
    ) -> None:
        """Take over what eval mode was captured from.

        Args:
            root: in eval mode.
            inplace: paths of modules that overwrote what they got, as the user gave them.
            inputs: the example.
            wanted: how eval mode was captured, `FX` or `EXPORT`.
            eval_module: the graph of eval mode.
            eval_spots: its stored values.
        """
        self._root, self._inputs, self._wanted = root, inputs, wanted
        self._eval_module, self._eval_spots = eval_module, eval_spots
        self._inplace = tuple(inplace)

    @cached_property
    def mode(self) -> TrainMode:
        """What train mode is."""
        try:
            return self._found()
        except ModelError as error:
            return TrainMode(self._eval_module, _nodes(self._eval_spots), str(error))

    def _found(self) -> TrainMode:
        own = copy.deepcopy(self._root)
        set_inplace(own, self._inplace, flag=True)
        own.train()
        leaves, any_size = self._wanted.leaves, self._wanted.other is not None
        if self._wanted.how is Capture.EXPORT:
            program = exported_program(own, self._inputs, leaves, any_size=any_size)
        else:
            program = traced_program(own, self._inputs, leaves, listed_by_timm())
        if _structure(self._eval_module.graph) == _structure(program.graph):
            return TrainMode(self._eval_module, _nodes(self._eval_spots))
        spots = _matched(self._eval_spots, find_spots(program.graph, own))
        _take_over(program.graph, own, self._root)
        return TrainMode(graph_module(self._root, program.graph).eval(), _nodes(spots))


def _nodes(spots: Sequence[Spot]) -> dict[str, dict[Placement, str]]:
    return {
        spot.name: {Placement.PRE_ACT: spot.pre.name, Placement.POST_ACT: spot.post.name}
        for spot in spots
    }


def _take_over(graph: fx.Graph, own: nn.Module, root: nn.Module) -> None:
    """Give a network what capturing has added to its copy: constants, and what outputs are put in.

    All that is kept at the top, in names that the network does not have.
    """
    for node in graph.nodes:
        name = str(node.target)
        if node.op in {"get_attr", "call_module"} and not hasattr(root, name.partition(".")[0]):
            setattr(root, name, getattr(own, name))
    known = dict(root.named_buffers(remove_duplicate=False))
    for path, buffer in own.named_buffers(remove_duplicate=False):
        if path not in known:
            owner, _, name = path.rpartition(".")
            root.get_submodule(owner).register_buffer(name, buffer, persistent=False)


def _matched(eval_spots: tuple[Spot, ...], train_spots: tuple[Spot, ...]) -> tuple[Spot, ...]:
    """The spot of train mode for each one of eval mode.

    Raises:
        ModelError: train mode does not store one of them, or in another form.
    """
    in_train = {(spot.name, shape_of(spot.post)[1:]): spot for spot in train_spots}
    wanted = [(spot.name, shape_of(spot.post)[1:]) for spot in eval_spots]
    missing = [
        f"{name!r} of shape {shape}" for name, shape in wanted if (name, shape) not in in_train
    ]
    if missing:
        raise ModelError(
            f"the network stores {len(eval_spots)} values in eval mode, and in train mode not all "
            f"of them, first difference: {missing[0]}; keep the module that branches on "
            "self.training whole with leaves=[PATH] (`--leaf PATH`), or switch that branch off"
        )
    return tuple(in_train[site] for site in wanted)


def _structure(graph: fx.Graph) -> list[tuple[object, ...]]:
    """What the nodes do and to what, without their names; equal for equal programs."""
    index = {node: f"%{position}" for position, node in enumerate(graph.nodes)}
    return [
        (node.op, node.target, *(repr(map_arg(a, index.__getitem__)) for a in _arguments(node)))
        for node in graph.nodes
    ]


def _arguments(node: fx.Node) -> tuple[Argument, Argument]:
    return node.args, node.kwargs

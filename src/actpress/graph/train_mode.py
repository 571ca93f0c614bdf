"""What a network computes in train mode, and where its sites are there."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torch.fx.node import Argument, map_arg

from actpress.errors import ModelError
from actpress.graph.programs import traced_program
from actpress.graph.sites import Spot, find_spots
from actpress.graph.values import shape_of
from actpress.graph.whole import listed_by_timm

FIXED_MODE = (
    "the network was captured through torch.export, which fixes eval mode; train the network "
    "itself and compress it then, or let torch.fx trace it (`--capture fx`)"
)


@dataclass(frozen=True)
class TrainMode:
    """The graph of train mode.

    Attributes:
        module: that of eval mode where the two do not differ, or there is none.
        spots: that of every site.
        missing: why there is none; empty where there is.
    """

    module: fx.GraphModule
    spots: tuple[Spot, ...]
    missing: str = ""


def train_mode(
    root: nn.Module,
    inputs: tuple[Tensor, ...],
    leaves: Sequence[str],
    eval_module: fx.GraphModule,
    eval_spots: tuple[Spot, ...],
) -> TrainMode:
    """Trace train mode; `root` is in eval mode afterwards."""
    same = TrainMode(eval_module, eval_spots)
    try:
        module = traced_program(root.train(), inputs, leaves, listed_by_timm())
        if _structure(eval_module.graph) == _structure(module.graph):
            return same
        return TrainMode(module, _matched(eval_spots, find_spots(module.graph, root)))
    except ModelError as error:
        return TrainMode(eval_module, eval_spots, str(error))
    finally:
        root.eval()


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

"""Watch the values of sites while the network runs."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import astuple

import torch
from torch import Tensor, fx

from actpress.graph.arrangement import to_codec
from actpress.graph.capturing import Graph
from actpress.graph.sites import Site
from actpress.plan import Placement


def site_values(
    graph: Graph, inputs: Tensor | tuple[Tensor, ...], placements: Mapping[str, Placement]
) -> Iterator[tuple[str, Tensor]]:
    """Run the network in eval mode and hand out values as they are computed.

    Values are freed after their last use and the run ends with the last value asked for, so memory
    stays near what inference needs. No gradients are computed.

    Args:
        graph: of the network.
        inputs: one batch per input of the network, on the network's device.
        placements: the sites to watch, and at which of their values.

    Yields:
        Site name and value as its codec gets it, float32, shape (n, c, ...), in the order of
        computation. Read it at once and do not write to it: the network goes on with it.

    Raises:
        ModelError: a name is not a site.
    """
    for name, _, value in all_values(graph, inputs, placements.items()):
        yield name, value


def all_values(
    graph: Graph, inputs: Tensor | tuple[Tensor, ...], wanted: Iterable[tuple[str, Placement]]
) -> Iterator[tuple[str, Placement, Tensor]]:
    """As `site_values`, of either value of a site, or of both.

    Args:
        graph: of the network.
        inputs: as there.
        wanted: site names and placements.

    Yields:
        Site name, placement, and value.
    """
    watched = by_node(graph, wanted)
    tensors = (inputs,) if isinstance(inputs, Tensor) else inputs
    interpreter = fx.Interpreter(graph.eval_module)
    interpreter.args_iter = iter(tensors)
    nodes = iter(graph.eval_module.graph.nodes)
    while watched:
        node = next(nodes)
        value = _step(interpreter, node)
        for site, placement in watched.pop(node.name, ()):
            yield site.name, placement, to_codec(value.float(), *astuple(site.arrangement))


def by_node(
    graph: Graph, wanted: Iterable[tuple[str, Placement]]
) -> dict[str, list[tuple[Site, Placement]]]:
    """What of the values asked for each node computes, by its name.

    Raises:
        ModelError: a name is not a site.
    """
    found = defaultdict[str, list[tuple[Site, Placement]]](list)
    for name, placement in dict.fromkeys(wanted):
        site = graph.site(name)
        found[site.node(placement)].append((site, placement))
    return dict(found)


def values_before(
    module: fx.GraphModule, inputs: Tensor | tuple[Tensor, ...], targets: Collection[str]
) -> Iterator[tuple[str, Tensor]]:
    """Run a graph and stop before each of the modules named.

    The module runs with what it is when the caller asks for the next value, so that it can be
    changed in between. Values are freed after their last use; no gradients are computed.

    Args:
        module: the graph, each target called once.
        inputs: one batch per input.
        targets: paths of submodules.

    Yields:
        Path and the value that the module is about to be given, in the order of computation.
    """
    tensors = (inputs,) if isinstance(inputs, Tensor) else inputs
    interpreter = fx.Interpreter(module)
    interpreter.args_iter = iter(tensors)
    waiting = set(targets)
    for node in module.graph.nodes:
        if node.op == "call_module" and node.target in waiting:
            waiting.remove(str(node.target))
            yield str(node.target), interpreter.env[node.all_input_nodes[0]]
            if not waiting:
                return
        _step(interpreter, node)


def _step(interpreter: fx.Interpreter, node: fx.Node) -> Tensor:
    # Not around the whole run: between two values the caller's grad mode holds.
    with torch.no_grad():
        value: Tensor = interpreter.run_node(node)
    interpreter.env[node] = value
    for dead in interpreter.user_to_last_uses.get(node, []):
        del interpreter.env[dead]
    return value

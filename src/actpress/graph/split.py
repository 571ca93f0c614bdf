"""Cutting a rewritten network in two at a site, so that only coded values cross the cut."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, cast

from torch import fx

from actpress.errors import ModelError
from actpress.graph.rewrite import RewrittenNetwork
from actpress.graph.values import copy_value_meta


@dataclass(frozen=True)
class SplitNetwork:
    """Both halves of a network; they share its modules, which the caller puts in eval mode.

    Attributes:
        sites: whose values cross the cut, in the network's order.
        head: network input -> the values that these sites' codecs get, as a tuple.
        tail: what these codecs give back (x_hat), one argument per site -> the network's output.
    """

    sites: tuple[str, ...]
    head: fx.GraphModule
    tail: fx.GraphModule


def split_network(network: RewrittenNetwork, at: str) -> SplitNetwork:
    """Cut right after the codec of a site.

    Skip connections over the cut are sent too, each from the last codec before the cut; what lies
    between that codec and its readers, an activation for instance, is computed by the tail.

    Args:
        network: shares its modules with the halves.
        at: name of a site with a codec.

    Raises:
        ModelError: there is no codec at that site, or the tail would need the network's input.
    """
    module = network.eval_module
    codecs = _codec_calls(network)
    if at not in codecs:
        raise ModelError(f"there is no codec at a site {at!r}; expected one of {', '.join(codecs)}")
    nodes = list(module.graph.nodes)
    sendable = {
        _x_hat(call): name
        for name, call in codecs.items()
        if nodes.index(call) <= nodes.index(codecs[at])
    }
    tail = _needed(_result(module.graph), stop=sendable)
    if any(node.op == "placeholder" for node in tail):
        raise ModelError(
            f"a cut at {at!r} would have to send the network's input, as it is read after the cut "
            f"without a codec between; plan a codec there, or cut at another site"
        )
    read: list[fx.Node] = [source for node in tail for source in node.all_input_nodes]
    fx.node.map_arg(_result(module.graph), read.append)
    crossing = sendable.keys() & set(read)
    sites = tuple(name for x_hat, name in sendable.items() if x_hat in crossing)
    inputs = tuple(codecs[name].args[0] for name in sites)
    head = _needed(inputs, stop=())
    return SplitNetwork(
        sites,
        _part(module, [n for n in nodes if n in head], [], inputs),
        _part(
            module,
            [n for n in nodes if n in tail],
            [_x_hat(codecs[name]) for name in sites],
            _result(module.graph),
        ),
    )


def _codec_calls(network: RewrittenNetwork) -> dict[str, fx.Node]:
    """The call of every codec, in the order of the graph."""
    names = {codec: name for name, codec in network.codecs.items()}
    calls = {}
    for node in network.eval_module.graph.nodes:
        if node.op == "call_module":
            name = names.get(network.eval_module.get_submodule(str(node.target)))
            if name is not None:
                calls[name] = node
    return calls


def _x_hat(call: fx.Node) -> fx.Node:
    return next(user for user in call.users if user.target is getitem and user.args[1] == 0)


def _needed(values: Any, stop: Container[fx.Node]) -> set[fx.Node]:
    """All nodes that values depend on, back to the nodes in `stop`, which are left out."""
    found: set[fx.Node] = set()
    waiting: list[fx.Node] = []
    fx.node.map_arg(values, waiting.append)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in stop:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def _result(graph: fx.Graph) -> Any:
    """What the network itself returns, without the rates that stand beside it."""
    return cast(tuple[Any, Any], graph.output_node().args[0])[0]


def _part(
    owner: fx.GraphModule, nodes: Sequence[fx.Node], inputs: Sequence[fx.Node], result: Any
) -> fx.GraphModule:
    """A module of some nodes that shares the owner's modules; `inputs` become its arguments."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for index, node in enumerate(inputs):
        copies[node] = graph.placeholder(f"x_hat_{index}")
        copy_value_meta(node, copies[node])
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.node.map_arg(result, copies.__getitem__))
    part = fx.GraphModule(owner, graph)
    part.delete_all_unused_submodules()
    return part

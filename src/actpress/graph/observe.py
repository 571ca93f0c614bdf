"""Watch the values of sites while the network runs."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, fx

from actpress.graph.capture import Graph
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
        Site name and value, shape (n, c, ...), in the order of computation. Read it at once and do
        not write to it: the network goes on with it.

    Raises:
        ModelError: a name is not a site.
    """
    wanted = {graph.site(name).node(place): name for name, place in placements.items()}
    tensors = (inputs,) if isinstance(inputs, Tensor) else inputs
    interpreter = fx.Interpreter(graph.eval_module)
    interpreter.args_iter = iter(tensors)
    nodes = iter(graph.eval_module.graph.nodes)
    while wanted:
        node = next(nodes)
        value = _step(interpreter, node)
        if node.name in wanted:
            yield wanted.pop(node.name), value


def _step(interpreter: fx.Interpreter, node: fx.Node) -> Tensor:
    # Not around the whole run: between two values the caller's grad mode holds.
    with torch.no_grad():
        value: Tensor = interpreter.run_node(node)
    interpreter.env[node] = value
    for dead in interpreter.user_to_last_uses.get(node, []):
        del interpreter.env[dead]
    return value

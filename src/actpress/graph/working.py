"""How much memory the values of a graph take while it runs."""

from math import prod

from torch import fx

from actpress.graph.capturing import Graph
from actpress.graph.values import dtype_of, shape_of

VALUES_AT_ONCE = 6_500_000
"""Of the largest site: memory that is larger is asked of the system anew for every layer, and left
cold, so that larger batches are slower."""

BYTES_WITH_GRADIENTS = 64
"""Bytes for a value of a site: eight hold it and its gradient, the others what goes forward and
back between sites, and components and errors of it."""

IN_A_CODEC = 3
"""A codec holds components, symbols and result at once, each as large as its input at most."""


def images_at_once(graph: Graph, most: int) -> int:
    """How many images a network had best be given at once, one at least.

    Args:
        graph: the captured network.
        most: images.
    """
    largest = max((site.values for site in graph.sites), default=1)
    return max(min(most, VALUES_AT_ONCE // largest), 1)


def bytes_with_gradients(graph: Graph) -> int:
    """Memory that the values and gradients of an image take, and what is computed of them."""
    return BYTES_WITH_GRADIENTS * sum(site.values for site in graph.sites)


def working_bytes(module: fx.GraphModule) -> int:
    """Most bytes per image that values of a part of a network take at once, inputs included.

    Views count like copies of what they show.

    Args:
        module: its placeholders say of what shape (n, ...) they are.
    """
    nodes = list(module.graph.nodes)
    last = {source: place for place, node in enumerate(nodes) for source in node.all_input_nodes}
    live = most = 0
    for place, node in enumerate(nodes):
        inside = sum(map(_bytes, node.all_input_nodes)) if node.op == "call_module" else 0
        live += _bytes(node)
        most = max(most, live + (0 if shape_of(node) else IN_A_CODEC * inside))
        live -= sum(_bytes(source) for source in node.all_input_nodes if last[source] == place)
    return -(-most // shape_of(nodes[0])[0])


def _bytes(node: fx.Node) -> int:
    shape = shape_of(node)
    return prod(shape) * dtype_of(node).itemsize if shape else 0

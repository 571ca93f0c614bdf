"""What capture cannot see is told: values in modules that are kept whole, or without images."""

import warnings
from collections import Counter
from collections.abc import Sequence

from torch import fx, nn

from actpress.graph.operators import is_library
from actpress.graph.values import rank_of

NAMED = 3
"""Layers that are named of those that are hidden."""


def warn_of_hidden_layers(graph: fx.Graph, root: nn.Module) -> None:
    """Say once what in a traced graph applies several layers at once, and so hides stored values.

    Modules that are kept whole, and functions of others' that take several matrices.
    """
    told = [*_whole_modules(graph, root), *_whole_functions(graph)]
    if told:
        warnings.warn(
            f"kept whole: {_first(told)}; what is stored between these layers is neither "
            f"counted nor compressed",
            stacklevel=1,
        )


def _whole_modules(graph: fx.Graph, root: nn.Module) -> list[str]:
    paths = dict.fromkeys(str(node.target) for node in graph.nodes if node.op == "call_module")
    found = {path: _layers(root.get_submodule(path)) for path in paths}
    return [
        f"{path!r} ({len(layers)} layers: {_first(layers)})"
        for path, layers in found.items()
        if len(layers) > 1
    ]


def _whole_functions(graph: fx.Graph) -> list[str]:
    calls = Counter(
        str(getattr(node.target, "__name__", node.target))
        for node in graph.nodes
        if node.op == "call_function" and not is_library(node) and _matrices(node) > 1
    )
    return [f"{name}() ({count} calls)" for name, count in calls.items()]


def _matrices(call: fx.Node) -> int:
    """Weights of at least two axes that a call reads."""
    return sum(node.op == "get_attr" and rank_of(node) > 1 for node in call.all_input_nodes)


def warn_of_left_out(names: Sequence[str]) -> None:
    """Say once which stored values are no sites, as bits for each image mean nothing for them."""
    if names:
        warnings.warn(
            f"left out: {_first(names)}; no axis of these values is the batch, so they are neither "
            f"counted nor compressed",
            stacklevel=1,
        )


def _layers(module: nn.Module) -> list[str]:
    """Modules that own weights, by their paths inside of `module`."""
    return [
        path or type(module).__name__
        for path, inner in module.named_modules()
        if next(inner.parameters(recurse=False), None) is not None
    ]


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")

"""What capture cannot see is told: values in modules that are kept whole, or without images."""

import warnings
from collections.abc import Sequence

from torch import fx, nn

NAMED = 3
"""Layers that are named of those that are hidden."""


def warn_of_hidden_layers(graph: fx.Graph, root: nn.Module) -> None:
    """Say once which modules of a traced graph hold several layers, and so hide stored values."""
    paths = dict.fromkeys(str(node.target) for node in graph.nodes if node.op == "call_module")
    found = {path: _layers(root.get_submodule(path)) for path in paths}
    told = [
        f"{path!r} ({len(layers)} layers: {_first(layers)})"
        for path, layers in found.items()
        if len(layers) > 1
    ]
    if told:
        warnings.warn(
            f"kept whole: {_first(told)}; what is stored between these layers is neither "
            f"counted nor compressed",
            stacklevel=1,
        )


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

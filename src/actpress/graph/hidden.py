"""What capture cannot see is told: values inside of modules that are kept whole."""

import warnings

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
            f"kept whole: {', '.join(told)}; what is stored between these layers is neither "
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


def _first(layers: list[str]) -> str:
    return ", ".join(layers[:NAMED]) + (", ..." if len(layers) > NAMED else "")

"""Take a network with codecs apart: its own modules and those of codecs, in one plain graph."""

import copy
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument

from actpress.graph.annotate import describe
from actpress.graph.rewrite import RewrittenNetwork
from actpress.graph.values import dtype_of, shape_of

Parts = Mapping[str, nn.Module]


def lower(network: RewrittenNetwork, parts_of: Callable[[str, int], Parts]) -> fx.GraphModule:
    """A copy of the graph of eval mode in which every codec is a chain of modules.

    ```
    stored - codecs.SITE.encode - codecs.SITE.quantize - codecs.SITE.decode - readers
    ```

    Args:
        network: stays as it is.
        parts_of: site name and number of axes of its value -> modules in the order in which they
            are called. A part's path is that of the codec, with its name.

    Returns:
        A network in eval mode with the output of the captured one.
    """
    graph = copy.deepcopy(network.eval_module.graph)
    sites = {path: site for site, path in network.codec_paths.items()}
    _drop_rates(graph)
    parts: dict[str, nn.Module] = {}
    for call in [node for node in graph.nodes if node.op == "call_module" and node.target in sites]:
        path = str(call.target)
        rank = len(shape_of(call.all_input_nodes[0]))
        chain = {f"{path}.{name}": part for name, part in parts_of(sites[path], rank).items()}
        _replace_codec(graph, call, chain)
        parts |= chain
    own = copy.deepcopy(_used(graph, network.eval_module, without=parts))
    module = fx.GraphModule({**own, **parts}, graph, "Network")
    module.graph.lint()
    return module.eval()


def _drop_rates(graph: fx.Graph) -> None:
    output = graph.output_node()
    result, rates = cast(tuple[Argument, tuple[fx.Node, ...]], output.args[0])
    output.args = (result,)
    for rate in rates:
        graph.erase_node(rate)


def _replace_codec(graph: fx.Graph, call: fx.Node, chain: Mapping[str, nn.Module]) -> None:
    value = call.all_input_nodes[0]
    for path, part in chain.items():
        with graph.inserting_before(call):
            value = _noted(graph.call_module(path, (value,)), value, part)
    (x_hat,) = call.users
    x_hat.replace_all_uses_with(value)
    graph.erase_node(x_hat)
    graph.erase_node(call)


def _noted(node: fx.Node, operand: fx.Node, layer: nn.Module) -> fx.Node:
    """Note shape and type of what a layer makes of its operand."""
    example = torch.empty(shape_of(operand), dtype=dtype_of(operand), device="meta")
    with torch.no_grad():
        node.meta["tensor_meta"] = describe(copy.deepcopy(layer).to("meta", torch.float32)(example))
    return node


def _used(
    graph: fx.Graph, module: fx.GraphModule, *, without: Mapping[str, object]
) -> dict[str, nn.Module | Tensor]:
    """The modules and tensors that a graph uses, by path."""
    used: dict[str, nn.Module | Tensor] = {}
    for node in graph.nodes:
        path = str(node.target)
        if node.op == "call_module" and path not in without:
            used[path] = module.get_submodule(path)
        elif node.op == "get_attr":
            owner, _, name = path.rpartition(".")
            used[path] = getattr(module.get_submodule(owner), name)
    return used

"""Take codecs out of a lowered network where neighbouring layers have taken in their matrices."""

from collections.abc import Iterable
from operator import getitem

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from actpress.graph.fold import Reader, Writer
from actpress.graph.functional import module_of_call, weight_name
from actpress.graph.layout import in_layout
from actpress.graph.operators import Kind, operator_of
from actpress.graph.values import copy_value_meta, dtype_of, shape_of


def as_modules(network: fx.GraphModule) -> None:
    """Call modules in place of functions with weights of the network (`module_of_call`)."""
    graph = network.graph
    for node in [node for node in graph.nodes if node.op == "call_function"]:
        module = module_of_call(node, network)
        if module is None:
            continue
        owner = weight_name(node)
        operands = [operand for operand in node.all_input_nodes if operand.op == "get_attr"]
        path = _free_path(network, owner, {str(operand.target) for operand in operands})
        set_module(network, path, module)
        with graph.inserting_before(node):
            call = graph.call_module(path, (node.args[0],))
        copy_value_meta(node, call)
        node.replace_all_uses_with(call)
        for gone in (node, *operands):
            graph.erase_node(gone)


def _free_path(network: fx.GraphModule, owner: str, taken: set[str]) -> str:
    """The path of a module that holds no tensors but these, or a new one after its name."""
    if owner in dict(network.named_modules()):
        tensors = network.get_submodule(owner).state_dict(prefix=f"{owner}.").keys()
        if tensors <= taken:
            return owner
    path = owner.replace(".", "_")
    while hasattr(network, path):
        path += "_"
    return path


def set_module(network: fx.GraphModule, path: str, module: nn.Module) -> None:
    """Put a module in the place of another one."""
    owner, _, name = path.rpartition(".")
    setattr(network.get_submodule(owner), name, module)


def call_after(network: fx.GraphModule, value: fx.Node, path: str, module: nn.Module) -> fx.Node:
    """Call a new module of a value, right after it."""
    network.add_submodule(path, module)
    with network.graph.inserting_after(value):
        return network.graph.call_module(path, (value,))


def read_instead(
    network: fx.GraphModule, reader: Reader, source: fx.Node, *, channels: int
) -> None:
    """Let a layer read `source`, of so many channels, in place of a stored value."""
    value, graph = source, network.graph
    for view in reader.views:
        kind = operator_of(view, network).kind
        if kind is Kind.IDENTITY or view.target is in_layout:
            continue
        with graph.inserting_before(reader.node):
            if kind is Kind.RESHAPE:  # a map of one pixel, with its axes or without
                shape = (-1, channels, *shape_of(view)[2:])
                value = graph.call_function(torch.reshape, (value, shape))
            else:
                operand, padded = view.all_input_nodes[0], graph.node_copy(view)
                padded.replace_input_with(operand, value)
                value = padded
    reader.node.replace_input_with(reader.node.all_input_nodes[0], value)


def end_at(network: fx.GraphModule, writer: Writer, encode: fx.Node, *, drop: bool) -> None:
    """Take out what a layer has taken in: affine operations after it, and the encoder.

    Args:
        network: changed in place.
        writer: the layer, whose module is another one already.
        encode: the call of the encoder.
        drop: take it out, too.
    """
    graph, value, taken = network.graph, writer.node, list[fx.Node]()
    for node in writer.between:
        if operator_of(node, network).kind is Kind.ACTIVATION:
            node.replace_input_with(node.all_input_nodes[0], value)
            value = node
        else:
            taken.append(node)
    encode.replace_input_with(encode.all_input_nodes[0], value)
    if drop:
        encode.replace_all_uses_with(value)
        graph.erase_node(encode)
    for node in reversed(taken):
        graph.erase_node(node)


def drop_if_unread(
    network: fx.GraphModule, decode: fx.Node, symbols: fx.Node, readers: Iterable[Reader]
) -> None:
    """Take out a decoder that nobody reads, and views behind it.

    Args:
        network: changed in place.
        decode: the call of the decoder.
        symbols: what it decodes: as many images, for who only asks for their number.
        readers: layers that read something else by now.
    """
    views = (view for reader in readers for view in reversed(reader.views))
    for node in [*dict.fromkeys(views), decode]:
        for user in [user for user in node.users if _counts_images(user)]:
            user.replace_input_with(node, symbols)
        if not node.users:
            network.graph.erase_node(node)


def _counts_images(node: fx.Node) -> bool:
    """`x.size(0)` or `x.shape[0]`."""
    if node.op == "call_method" and node.target == "size":
        return node.args[1:] == (0,)
    shape = node.target is getattr and node.args[1:] == ("shape",)
    return shape and all(u.target is getitem and u.args[1:] == (0,) for u in node.users)


def finish(network: fx.GraphModule, inputs: tuple[torch.Tensor, ...]) -> None:
    """Compile the edited graph, forget modules without a call, and note the new shapes."""
    network.graph.lint()
    network.delete_all_unused_submodules()
    network.recompile()
    with torch.no_grad():
        ShapeProp(network).propagate(*inputs)


def example_of(network: fx.GraphModule) -> tuple[torch.Tensor, ...]:
    """Zeros of the shapes that a network was captured with."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    return tuple(
        torch.zeros(shape_of(node), dtype=dtype_of(node), device=device)
        for node in network.graph.nodes
        if node.op == "placeholder"
    )

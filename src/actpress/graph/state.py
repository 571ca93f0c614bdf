"""What forward keeps between calls: put back after tracing, refused where outputs depend on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn

from actpress.errors import ModelError


@contextmanager
def attributes_restored(root: nn.Module) -> Iterator[None]:
    """On leaving, no module holds what tracing left in its attributes, as `self.last = x` does."""
    before = [
        (module, {name: _kept(value) for name, value in vars(module).items()})
        for module in root.modules()
    ]
    try:
        yield
    finally:
        for module, attributes in before:
            traced = [name for name, value in vars(module).items() if _is_traced(value)]
            for name in traced:
                del vars(module)[name]
            vars(module).update({name: attributes[name] for name in traced if name in attributes})


def _kept(value: object) -> object:
    """Lists are kept by content, as forward may append to them."""
    return list(value) if type(value) is list else value


def _is_traced(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_traced(item) for item in value)
    return isinstance(value, fx.Proxy)


def check_written_buffers(graph: fx.Graph, root: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Refuse a network that reads a buffer which its forward writes to while it is traced.

    A counter that nothing reads is harmless.

    Args:
        graph: as traced.
        root: owns the buffers, as forward left them.
        before: their content when tracing began.

    Raises:
        ModelError: names the buffer.
    """
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    for name, buffer in root.named_buffers():
        if name in read and name in before and not _same(buffer, before[name]):
            raise ModelError(written_message(name))


def owner_of(tensor: object, root: nn.Module) -> str | None:
    """Name of the parameter or buffer whose memory a tensor shares; None if there is none."""
    if not isinstance(tensor, Tensor) or not tensor.numel():
        return None
    memory = tensor.untyped_storage().data_ptr()
    owned = (*root.named_buffers(), *root.named_parameters())
    return next((name for name, own in owned if own.untyped_storage().data_ptr() == memory), None)


def written_message(name: str) -> str:
    """That a buffer is written to, and the way out."""
    owner, _, _ = name.rpartition(".")
    leaf = f"leaves=[{owner!r}] (`--leaf {owner}`)" if owner else "leaves=[PATH] (`--leaf PATH`)"
    place = f"module {owner!r}" if owner else "the network itself"
    return (
        f"{place} writes to {name!r} in its forward, so that what it gives depends on earlier "
        f"calls, which a captured graph does not repeat; expected a forward that leaves parameters "
        f"and buffers alone in eval mode; keep the module whole with {leaf}, or give its state as "
        f"an input"
    )


def _same(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and x.dtype is y.dtype and torch.equal(x, y)


@contextmanager
def buffers_restored(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Hand out the content of every buffer by name; on leaving, each is what it was."""
    before = [
        (owner, name, buffer, buffer.detach().clone(), f"{path}.{name}" if path else name)
        for path, owner in module.named_modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    try:
        yield {path: content for *_, content, path in before}
    finally:
        with torch.no_grad():
            for owner, name, buffer, content, _ in before:
                setattr(owner, name, buffer.copy_(content))


def graph_module(root: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """A module of a graph that has all buffers of the modules whose tensors it uses.

    fx alone takes over what the graph reads; statistics that only training counts would be missing.
    """
    module = fx.GraphModule(root, graph)
    owners, persistent = dict(root.named_modules()), root.state_dict().keys()
    for path, owner in list(module.named_modules()):
        original = owners.get(path)
        if original is None or owner is original:
            continue
        for name, buffer in original.named_buffers(recurse=False):
            if not hasattr(owner, name):
                saved = (f"{path}.{name}" if path else name) in persistent
                owner.register_buffer(name, buffer, persistent=saved)
    return module

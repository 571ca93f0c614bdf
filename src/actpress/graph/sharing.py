"""Two graphs of one network with the same modules and tensors."""

from torch import Tensor, fx, nn


def share(source: fx.GraphModule, target: fx.GraphModule) -> None:
    """Give `target` the modules and tensors of `source`, and move the others to their device."""
    device = next((tensor.device for tensor in _tensors(source).values()), None)
    if device is not None:
        target.to(device)
    for node in target.graph.nodes:
        if node.op == "call_module":
            path = str(node.target)
            module = _found(source, path)
            if module is not None and type(module) is type(target.get_submodule(path)):
                target.set_submodule(path, module)
    share_tensors(source, target)


def share_tensors(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the tensors that `source` has at the same paths.

    Moving a network makes new buffers, so that what two graphs shared is no longer the same.
    """
    owned, owners = _tensors(source), dict(target.named_modules(remove_duplicate=False))
    for path in _tensors(target).keys() & owned.keys():
        owner, _, name = path.rpartition(".")
        setattr(owners[owner], name, owned[path])


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by path."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


def _found(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None

"""What stands around a network, or instead of it, when it comes from elsewhere."""

import torch
from torch import fx, nn

from actpress.errors import ModelError

WRAPPED_AS = {"DataParallel": "module", "DistributedDataParallel": "module"} | {
    "FullyShardedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
"""Class of a wrapper of PyTorch and the attribute that holds the network: copies over several
devices, and what `torch.compile` returns."""

GIVE_PYTHON = "give the nn.Module that it was made from, with its weights loaded"


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, without the wrappers around it.

    Raises:
        ModelError: it is no nn.Module, or one whose Python is gone: TorchScript, an exported
            program.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"expected a torch.nn.Module, got {_described(model)}; {GIVE_PYTHON}")
    while (inner := _inside(model)) is not None:
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"the network is TorchScript ({type(model).__name__}), which holds no Python to be "
            f"traced; {GIVE_PYTHON}"
        )
    if _is_exported(model):
        raise ModelError(
            f"the network {type(model).__name__} was exported: its layers are taken apart into "
            f"operators, and eval mode is fixed; {GIVE_PYTHON}"
        )
    return model


def unwrap_inside(root: nn.Module) -> None:
    """Put every wrapped submodule in the place of its wrapper; changes `root`."""
    if isinstance(root, torch.jit.ScriptModule):
        return
    everything = root.named_modules(remove_duplicate=False)
    for name, child in [item for item in everything if item[0] and "." not in item[0]]:
        inner = child if _inside(child) is None else unwrapped(child)
        if inner is not child:
            setattr(root, name, inner)
        unwrap_inside(inner)


def _inside(model: nn.Module) -> nn.Module | None:
    kind = type(model)
    attribute = WRAPPED_AS.get(kind.__name__) if kind.__module__.startswith("torch.") else None
    inner = getattr(model, attribute, None) if attribute else None
    return inner if isinstance(inner, nn.Module) else None


def _is_exported(model: nn.Module) -> bool:
    if isinstance(model, torch.export.UnflattenedModule):
        return True
    return isinstance(model, fx.GraphModule) and any(
        isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001 no public name
        for node in model.graph.nodes
    )


def _described(model: object) -> str:
    if isinstance(model, torch.export.ExportedProgram):
        return "an exported program, whose layers are taken apart into operators"
    kind = type(model).__name__
    return f"a {kind}, weights without a network" if isinstance(model, dict) else f"a {kind}"

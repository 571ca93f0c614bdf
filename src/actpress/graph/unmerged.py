"""Branches that exist for training only and are merged into one layer before a network is used."""

import warnings

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

MERGERS = ("reparameterize", "switch_to_deploy", "fuse_convs", "merge_kernel")
"""Methods by which RepVGG, MobileOne and their kin merge the branches of a block."""

NAMED = 3


def warn_of_unmerged_branches(root: nn.Module) -> None:
    """Say once which blocks could be merged and are not: each branch is counted as stored."""
    found = {path: merger for path, module in root.named_modules() if (merger := _merger(module))}
    blocks = [path for path in found if path and not _holds_another(path, found)]
    if blocks:
        shown = ", ".join(map(repr, blocks[:NAMED])) + (", ..." if len(blocks) > NAMED else "")
        warnings.warn(
            f"{len(blocks)} blocks have branches for training that are not merged: {shown}; what "
            f"each branch stores is counted, though a device computes one layer; merge them first "
            f"({found[blocks[0]]}() of each block)",
            stacklevel=1,
        )


def _merger(module: nn.Module) -> str | None:
    """The method that would merge a block; None where there is nothing left to merge."""
    name = next((name for name in MERGERS if callable(getattr(module, name, None))), None)
    normalised = any(isinstance(inner, _BatchNorm) for inner in module.modules())
    return name if normalised else None


def _holds_another(path: str, found: dict[str, str]) -> bool:
    return any(other.startswith(f"{path}.") for other in found)

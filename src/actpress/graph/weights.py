"""The numbers of a network: what tells two of one architecture apart, and whether they are any."""

import hashlib

import torch
from torch import Tensor, nn

from actpress.errors import ModelError
from actpress.graph.wrappers import unwrapped

STATISTICS = ("running_mean", "running_var")


def hash_weights(model: nn.Module) -> str:
    """A digest of all parameters and buffers; wrappers around the network do not change it."""
    digest = hashlib.sha256()
    for name, tensor in unwrapped(model).state_dict().items():
        digest.update(name.encode())
        digest.update(raw_bytes(tensor))
    return digest.hexdigest()


def raw_bytes(tensor: Tensor) -> bytes:
    """The numbers of a tensor, row by row, as they lie in memory.

    A tensor of one number may have any stride and is contiguous all the same; hence the copy.
    """
    flat = tensor.detach().cpu().flatten().clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


def check_weights_finite(model: nn.Module) -> None:
    """Refuse NaN and infinity in parameters and statistics of normalisation.

    Other buffers may hold infinity on purpose, as masks do.

    Raises:
        ModelError: names the tensor.
    """
    buffers = (item for item in model.named_buffers() if item[0].endswith(STATISTICS))
    for name, tensor in (*model.named_parameters(), *buffers):
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"the weights {name!r} of the network hold NaN or infinite values; expected finite "
                f"numbers; train it again from an earlier checkpoint, or load other weights"
            )

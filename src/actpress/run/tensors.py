"""Named tensors in a safetensors file, with a checksum over names, shapes and values."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from actpress.errors import RunError
from actpress.files import write_bytes
from actpress.graph.weights import raw_bytes

DIGEST = "sha256"


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file.
        tensors: on any device, in any memory layout; no two may share memory.
    """
    stored = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    write_bytes(path, save(stored, metadata={DIGEST: _digest(stored)}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file that `write_tensors` wrote.

    Raises:
        RunError: it cannot be read, or its checksum does not match.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get(DIGEST)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise RunError(f"{path} is damaged: {error}; compress again") from error
    if digest != _digest(tensors):
        raise RunError(f"{path} is damaged: its checksum does not match; compress again")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(raw_bytes(tensor))
    return digest.hexdigest()

"""Images as arrays on disk, in the form that the network takes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actpress.errors import DataError


def read_array(path: Path, shape: tuple[int, ...]) -> Tensor:
    """A .npy file of one image of a shape, or of several -> float32 (n, *shape).

    Nothing is scaled or normalised, and no code from the file is executed.

    Raises:
        DataError: the file is no array of floats of that shape, or not finite.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read the array {path}: {error}; give another file") from error
    if array.ndim == len(shape):
        array = array[None]
    if array.dtype.kind != "f" or array.shape[1:] != shape or not len(array):
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}; expected floats of shape {shape}, "
            f"or several of them, prepared as the network takes them"
        )
    images = torch.from_numpy(array.astype(np.float32))
    if not images.isfinite().all():
        raise DataError(f"{path} holds NaN or infinite values; expected finite numbers")
    return images

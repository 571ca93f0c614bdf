from pathlib import Path

import torch

from actpress.graph import hash_weights
from actpress.run import read_tensors, write_tensors


def test_a_single_number_of_any_stride_is_written(tmp_path: Path) -> None:
    """It is contiguous whatever its stride, and cannot be viewed as bytes where that is not 1."""
    number = torch.arange(4, dtype=torch.bfloat16)[1:2].as_strided((1,), (2,), 1)

    write_tensors(tmp_path / "one", {"number": number})

    assert read_tensors(tmp_path / "one")["number"].tolist() == [1.0]


def test_weights_of_any_stride_have_a_digest() -> None:
    plain, strided = torch.nn.PReLU(), torch.nn.PReLU()
    strided.weight.data = torch.full((3,), 0.25).as_strided((1,), (2,))

    assert hash_weights(strided) == hash_weights(plain)

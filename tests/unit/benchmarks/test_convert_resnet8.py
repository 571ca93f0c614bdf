from pathlib import Path

import numpy as np
import pytest
import torch

from actpress.errors import ModelError
from benchmarks.convert_resnet8 import LAYERS, VARIABLES, Array, Variables, convert, read_variables

KERNELS = {
    "conv2d": (3, 3, 3, 16),
    "conv2d_1": (3, 3, 16, 16),
    "conv2d_2": (3, 3, 16, 16),
    "conv2d_3": (3, 3, 16, 32),
    "conv2d_4": (3, 3, 32, 32),
    "conv2d_5": (1, 1, 16, 32),
    "conv2d_6": (3, 3, 32, 64),
    "conv2d_7": (3, 3, 64, 64),
    "conv2d_8": (1, 1, 32, 64),
    "dense": (64, 10),
}
NORMS = (16, 16, 16, 32, 32, 64, 64)


@pytest.fixture
def variables() -> dict[str, Array]:
    random = np.random.default_rng(0)
    made = {}
    for layer, shape in KERNELS.items():
        made[f"{layer}.kernel"] = random.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
        made[f"{layer}.bias"] = random.normal(0, 0.1, shape[-1])
    for index, channels in enumerate(NORMS):
        layer = f"batch_normalization_{index}" if index else "batch_normalization"
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            made[f"{layer}.{name}"] = random.uniform(0.1, 1, channels)
    return {name: values.astype(np.float32) for name, values in made.items()}


def test_the_network_computes_what_keras_computes(variables: Variables) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3))

    logits = convert(variables)(torch.from_numpy(images).permute(0, 3, 1, 2).float())

    expected = keras_resnet8(images, variables)
    assert np.allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def keras_resnet8(x: Array, variables: Variables) -> Array:
    """The reference model in plain numpy, (n, h, w, c), from the paper's code."""

    def conv(x: Array, index: int, stride: int = 1) -> Array:
        layer = f"conv2d_{index}" if index else "conv2d"
        kernel = variables[f"{layer}.kernel"].astype(np.float64)
        return same_convolution(x, kernel, stride) + variables[f"{layer}.bias"]

    def norm(x: Array, index: int) -> Array:
        layer = f"batch_normalization_{index}" if index else "batch_normalization"
        gamma, beta, mean, variance = (
            variables[f"{layer}.{name}"].astype(np.float64)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def relu(x: Array) -> Array:
        return np.maximum(x, 0)

    x = relu(norm(conv(x, 0), 0))
    x = relu(x + norm(conv(relu(norm(conv(x, 1), 1)), 2), 2))
    y = norm(conv(relu(norm(conv(x, 3, 2), 3)), 4), 4)
    x = relu(conv(x, 5, 2) + y)
    y = norm(conv(relu(norm(conv(x, 6, 2), 5)), 7), 6)
    x = relu(conv(x, 8, 2) + y)
    return x.mean((1, 2)) @ variables["dense.kernel"] + variables["dense.bias"]


def same_convolution(x: Array, kernel: Array, stride: int) -> Array:
    """TensorFlow's `same`: the odd row and column of padding go below and to the right."""
    side, out = kernel.shape[0], -(-x.shape[1] // stride)
    total = max((out - 1) * stride + side - x.shape[1], 0)
    before, after = total // 2, total - total // 2
    x = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    span = (out - 1) * stride + 1
    return sum(
        x[:, row : row + span : stride, column : column + span : stride] @ kernel[row, column]
        for row in range(side)
        for column in range(side)
    )


def test_every_layer_and_variable_has_a_place() -> None:
    assert len(LAYERS) == len(KERNELS) + len(NORMS)
    assert set(VARIABLES.values()) == {"weight", "bias", "running_mean", "running_var"}


def test_a_missing_or_unknown_variable_is_refused(variables: dict[str, Array]) -> None:
    with pytest.raises(ModelError, match=r"no variable lstm\.kernel"):
        convert(variables | {"lstm.kernel": variables["dense.kernel"]})
    del variables["conv2d_5.bias"]
    with pytest.raises(ModelError, match=r"(?s)not the weights .*layer2\.shortcut\.bias"):
        convert(variables)


def test_an_archive_is_read_back(tmp_path: Path, variables: Variables) -> None:
    np.savez(tmp_path / "weights.npz", **variables)

    assert read_variables(tmp_path / "weights.npz").keys() == variables.keys()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.npz").write_bytes(content)

    with pytest.raises(ModelError, match=r"cannot read .*weights\.npz"):
        read_variables(tmp_path / "weights.npz")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", np.zeros(3))

    with pytest.raises(ModelError, match="it holds a single array; expected an npz archive"):
        read_variables(tmp_path / "weights.npy")

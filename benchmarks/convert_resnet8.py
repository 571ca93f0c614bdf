"""Turn the weights of MLPerf Tiny's reference ResNet8 (Keras) into those of `zoo.resnet8`.

    python -m benchmarks.convert_resnet8 mlperf_tiny_resnet8.npz [--tflite resnet8_int8.tflite]

The archive holds every variable of `pretrainedResnet.h5` (github.com/mlcommons/tiny, Apache-2.0)
under `<layer>.<variable>`: `conv2d_3.kernel`, `batch_normalization.gamma`. The network is measured
on the held-out images of `cifar10`; with the int8 TFLite file of the same repository, so is that,
and how often both predict the same (which needs `pip install ai-edge-litert`).
"""

import argparse
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from actpress.data import load_cifar10
from actpress.data.dataset import Split
from actpress.errors import ModelError
from actpress.zoo import resnet8

Array = NDArray[np.float32]
Variables = Mapping[str, Array]

SCRATCH = Path("runs/reference")
LAYERS = {
    "conv2d": "conv1",
    "batch_normalization": "bn1",
    "conv2d_1": "layer1.conv1",
    "batch_normalization_1": "layer1.bn1",
    "conv2d_2": "layer1.conv2",
    "batch_normalization_2": "layer1.bn2",
    "conv2d_3": "layer2.conv1",
    "batch_normalization_3": "layer2.bn1",
    "conv2d_4": "layer2.conv2",
    "batch_normalization_4": "layer2.bn2",
    "conv2d_5": "layer2.shortcut",
    "conv2d_6": "layer3.conv1",
    "batch_normalization_5": "layer3.bn1",
    "conv2d_7": "layer3.conv2",
    "batch_normalization_6": "layer3.bn2",
    "conv2d_8": "layer3.shortcut",
    "dense": "fc",
}
VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def read_variables(path: Path) -> Variables:
    """The archive's arrays by name.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            return dict(_arrays(np.load(file, allow_pickle=False)))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"cannot read {path}: {error}; expected an npz archive") from error


def _arrays(loaded: object) -> Iterator[tuple[str, Array]]:
    if not isinstance(loaded, NpzFile):
        raise ValueError("it holds a single array")  # noqa: TRY004  read_variables tells the user
    yield from loaded.items()


def convert(variables: Variables) -> nn.Module:
    """ResNet8 with these weights, in eval mode.

    Raises:
        ModelError: a variable is unknown, missing, or has another shape.
    """
    model = resnet8()
    state = dict(_converted(variables))
    counters = {key: value for key, value in model.state_dict().items() if value.ndim == 0}
    try:
        model.load_state_dict(counters | state)
    except RuntimeError as error:
        raise ModelError(f"these are not the weights of MLPerf Tiny's ResNet8: {error}") from error
    return model.eval()


def _converted(variables: Variables) -> Iterator[tuple[str, Tensor]]:
    for name, values in variables.items():
        layer, _, variable = name.partition(".")
        if layer not in LAYERS or variable not in VARIABLES:
            raise ModelError(f"ResNet8 has no variable {name}; expected such as conv2d_3.kernel")
        yield f"{LAYERS[layer]}.{VARIABLES[variable]}", torch.from_numpy(_transposed(values).copy())


def _transposed(values: Array) -> Array:
    """(h, w, in, out) -> (out, in, h, w), and (in, out) -> (out, in)."""
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    return values.T


@torch.no_grad()
def float_predictions(model: nn.Module, split: Split) -> Tensor:
    """Class indices (n,)."""
    return torch.cat([model(x).argmax(1) for x, _ in split.batches(250)])


def tflite_predictions(path: Path, split: Split) -> Tensor:
    """Class indices (n,) of the int8 network, one image at a time."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415  only wanted for this

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = taken["quantization"]
    predictions = []
    for x, _ in split.batches(1):
        codes = (x.permute(0, 2, 3, 1) / scale + zero_point).round().clamp(-128, 127)
        interpreter.set_tensor(taken["index"], codes.to(torch.int8).numpy())
        interpreter.invoke()
        predictions.append(int(interpreter.get_tensor(given["index"]).argmax()))
    return torch.tensor(predictions)


def main() -> None:
    """Convert, measure, and write the state beside the other checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--tflite", type=Path)
    arguments = parser.parse_args()
    model, holdout = convert(read_variables(arguments.weights)), load_cifar10().holdout
    assert holdout.labels is not None  # CIFAR-10's are in memory
    found = float_predictions(model, holdout)
    print(f"float: held-out {(found == holdout.labels).float().mean():.4f}")
    if arguments.tflite:
        peer = tflite_predictions(arguments.tflite, holdout)
        agree = (found == peer).float().mean()
        print(f"int8: held-out {(peer == holdout.labels).float().mean():.4f}, agree {agree:.4f}")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), SCRATCH / "resnet8-mlperf.safetensors")


if __name__ == "__main__":
    main()

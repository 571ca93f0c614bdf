"""Fine-tune MLPerf Tiny's ResNet8 to the CIFAR-10 that `$ACTPRESS_DATA` holds.

    python -m benchmarks.train_resnet8 mlperf_tiny_resnet8.npz

The bundled weights came from `cifar10-jpeg.zip`: 20,000 training and 10,000 test images, compressed
again as JPEG. The start is what `benchmarks.convert_resnet8` makes of the reference weights. Of the
training images, a tenth is set apart; the test split is read once, at the end. The schedule is
fixed and gentle. A first one, of peak learning rate 2e-3, was stopped after epoch 6 because its
held-out accuracy had fallen, before the test split was ever read. Held-out accuracy flatters: the
reference weights have seen the originals of all training images, those held out included.
Each epoch leaves a checkpoint; a run that was stopped goes on from there.
"""

import argparse
from pathlib import Path

import torch

from actpress.data import load_cifar10
from benchmarks.convert_resnet8 import convert, read_variables
from benchmarks.train_reference import Recipe, Run, accuracy, channels_last, finish

RECIPE = Recipe(
    small_epochs=0, full_size_epochs=30, peak_lr=5e-4, weight_decay=0.01, batch=64, small_side=32
)


def start(weights: Path, seed: int) -> Run:
    """The converted network with its optimizer."""
    torch.manual_seed(seed)
    model = channels_last(convert(read_variables(weights)))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=RECIPE.weight_decay)
    return Run("resnet8", RECIPE, model, optimizer)


def main() -> None:
    """Fine-tune on one thread, so that the same seed gives the same weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run, data = start(arguments.weights, arguments.seed), load_cifar10()
    print(f"resnet8 before: held-out {accuracy(run.model, data.holdout):.4f}", flush=True)
    finish(run, data, arguments.seed)


if __name__ == "__main__":
    main()

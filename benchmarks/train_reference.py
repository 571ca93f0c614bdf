"""Train the bundled float checkpoints on the full Fashion-MNIST.

    python -m benchmarks.train_reference resnet18 mobilenet_v2 vgg16_bn

One fixed schedule per network: small images first (cheap), full size last, one-cycle learning
rate, flips and shifts; where it is not enough, a short second fall of the learning rate. The last
5,000 training images are never used, and the test split is read once, at the end. Each epoch leaves
a checkpoint; a run that was stopped goes on from there.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.data.dataset import Dataset, Split
from actpress.data.fashion_mnist import load_fashion_mnist
from actpress.zoo import reference

SCRATCH = Path("runs/reference")
POLISH = 0.2


@dataclass(frozen=True)
class Recipe:
    """The schedule of one network.

    Attributes:
        small_epochs: at `small_side`; they come first.
        full_size_epochs: at 32x32.
        polish_epochs: at 32x32, after the cycle: a linear fall from a fifth of the peak.
        peak_lr: highest learning rate.
        weight_decay: of the optimizer, on every parameter.
        batch: images per step.
        small_side: height and width of small images.
    """

    small_epochs: int
    full_size_epochs: int
    peak_lr: float
    polish_epochs: int = 0
    weight_decay: float = 5e-4
    batch: int = 128
    small_side: int = 16

    @property
    def cycle_epochs(self) -> int:
        """Of both sizes, in the one-cycle schedule."""
        return self.small_epochs + self.full_size_epochs

    @property
    def epochs(self) -> int:
        """All."""
        return self.cycle_epochs + self.polish_epochs

    def lr(self, epoch: float) -> float:
        """Learning rate after so many epochs; a fraction counts the steps of the current one."""
        if epoch < self.cycle_epochs:
            return self.peak_lr * one_cycle(epoch / self.cycle_epochs)
        return self.peak_lr * POLISH * (self.epochs - epoch) / self.polish_epochs


RECIPES = {
    "resnet18": Recipe(small_epochs=4, full_size_epochs=2, peak_lr=0.1),
    "mobilenet_v2": Recipe(
        small_epochs=3, full_size_epochs=3, peak_lr=0.05, polish_epochs=1, batch=64, small_side=24
    ),
    "vgg16_bn": Recipe(small_epochs=0, full_size_epochs=5, peak_lr=0.05, polish_epochs=1),
}


@dataclass
class Run:
    """A network in training.

    Attributes:
        name: one of `RECIPES`.
        recipe: its schedule.
        model, optimizer: what a checkpoint holds.
        epoch: epochs completed.
    """

    name: str
    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0

    @property
    def checkpoint(self) -> Path:
        """Written after each epoch."""
        return SCRATCH / f"{self.name}.pt"


def train(name: str, seed: int) -> None:
    """Train one network and export it."""
    finish(start(name, seed), load_fashion_mnist(), seed)


def start(name: str, seed: int) -> Run:
    """The network with its optimizer."""
    recipe = RECIPES[name]
    torch.manual_seed(seed)
    model = channels_last(reference.build(name))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
    )
    return Run(name, recipe, model, optimizer)


def finish(run: Run, data: Dataset, seed: int) -> None:
    """Train, from the last checkpoint if there is one, then export."""
    load_state(run)
    while run.epoch < run.recipe.epochs:
        began = time.perf_counter()
        loss = train_epoch(run, data.train, seed=1000 * seed + run.epoch)
        full_size = run.epoch >= run.recipe.small_epochs
        held_out = f"held-out {accuracy(run.model, data.holdout):.4f} " if full_size else ""
        run.epoch += 1
        save_state(run)
        took_s = time.perf_counter() - began
        print(f"{run.name} epoch {run.epoch} loss {loss:.4f} {held_out}{took_s:.0f} s", flush=True)
    export(run, data.test, seed)


def channels_last(model: nn.Module) -> nn.Module:
    """The same module with its weights laid out for faster convolutions on CPU."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def train_epoch(run: Run, split: Split, *, seed: int) -> float:
    """One pass over the split; returns the mean loss."""
    run.model.train()
    steps = math.ceil(len(split) / run.recipe.batch)
    total = 0.0
    for step, (x, labels) in enumerate(augmented(split, run.recipe.batch, seed=seed)):
        for group in run.optimizer.param_groups:
            group["lr"] = run.recipe.lr(run.epoch + step / steps)
        total += train_step(run, x, labels)
    return total / steps


def train_step(run: Run, x: Tensor, labels: Tensor) -> float:
    """One gradient step; returns the loss."""
    if run.epoch < run.recipe.small_epochs:
        x = F.adaptive_avg_pool2d(x, run.recipe.small_side)
    loss = F.cross_entropy(run.model(x.to(memory_format=torch.channels_last)), labels)
    run.optimizer.zero_grad()
    loss.backward()
    run.optimizer.step()
    return loss.item()


def augmented(split: Split, batch: int, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches, each image flipped with probability one half, each batch shifted."""
    generator = torch.Generator().manual_seed(seed)
    for x, labels in split.batches(batch, generator=generator):
        flip = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
        dy, dx = torch.randint(-2, 3, (2,), generator=generator).tolist()
        yield torch.where(flip, x.flip(3), x).roll((dy, dx), (2, 3)), labels


def one_cycle(progress: float, warmup: float = 0.2) -> float:
    """Share of the peak learning rate: linear rise, then linear fall to zero."""
    return progress / warmup if progress < warmup else (1 - progress) / (1 - warmup)


@torch.no_grad()
def accuracy(model: nn.Module, split: Split) -> float:
    """Top-1 in [0, 1], in eval mode."""
    model.eval()
    hits = sum(int((model(x).argmax(1) == labels).sum()) for x, labels in split.batches(250))
    return hits / len(split)


def load_state(run: Run) -> None:
    """Go on where the last checkpoint was written."""
    if run.checkpoint.exists():
        state = torch.load(run.checkpoint, weights_only=True)
        run.model.load_state_dict(state["model"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.epoch = state["epoch"]


def save_state(run: Run) -> None:
    """Write the checkpoint under another name, then rename it: it is never half written."""
    run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = run.checkpoint.with_suffix(".part")
    state = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "epoch": run.epoch,
    }
    torch.save(state, partial)
    partial.rename(run.checkpoint)


def export(run: Run, test: Split, seed: int) -> None:
    """Round the weights to fp16, measure that network, and write checkpoint and record."""
    model = run.model
    state = {
        key: value.contiguous().half() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    record = {
        "model": run.name,
        "seed": seed,
        "recipe": vars(run.recipe),
        "test_accuracy": accuracy(model, test),
        "torch": torch.__version__,
    }
    folder = reference.WEIGHTS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / f"{run.name}.safetensors")
    (folder / f"{run.name}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for chosen in arguments.names:
        train(chosen, arguments.seed)

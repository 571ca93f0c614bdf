"""`compress` end to end for other tasks than classification, on torch's own loaders."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import actpress
from actpress.errors import BudgetError, DataError, ModelError
from actpress.tasks import Segmentation, Task
from actpress.tune import TuneSettings

SMALL = actpress.Settings(
    calibration_images=48,
    search_images=16,
    decoder_images=32,
    holdout_images=16,
    tune=TuneSettings(steps=4, batch_size=8, validate_every=2, validation_images=16),
)
SIDE, CLASSES = 16, 3
BUDGET = "3bits (entropy, activations)"


class Maps(nn.Module):
    """An encoder and a decoder with a skip connection, from images to maps of so many channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.last = nn.Conv2d(16, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.down(x))
        return self.last(torch.cat([skip, F.relu(self.up(F.relu(self.deep(skip))))], 1))


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bright and dark squares on noise, and the class of every pixel, (n, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for mask in masks:
        for kind in (1, 2):
            top, left = torch.randint(SIDE - 5, (2,), generator=generator).tolist()
            mask[top : top + 5, left : left + 5] = kind
    clean = torch.tensor([0.0, 1.0, -1.0])[masks][:, None]
    return clean + 0.3 * torch.randn(clean.shape, generator=generator), masks


def trained(
    network: nn.Module, task: Task, x: Tensor, target: object, steps: int = 60
) -> nn.Module:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(network(x), target).backward()
        optimizer.step()
    return network.eval()


def loaders(*arrays: tuple[Tensor, ...]) -> list[DataLoader[tuple[Tensor, ...]]]:
    return [DataLoader(TensorDataset(*array), batch_size=8) for array in arrays]


@pytest.mark.parametrize("method", ["gdr", "cap"])
def test_segmentation(method: str) -> None:
    parts = [scenes(count, seed) for count, seed in ((64, 1), (32, 2), (32, 3))]
    task = Segmentation(classes=CLASSES)
    network = trained(Maps(CLASSES), task, *parts[0])
    train, holdout, test = loaders(*parts)

    result = actpress.compress(
        network,
        train,
        holdout=holdout,
        test=test,
        task=task,
        method=method,
        budget=BUDGET,
        settings=SMALL,
    )

    x, masks = parts[2]
    compared = result.metrics.compared
    assert (compared.name, compared.unit) == ("mean IoU", "%")
    for model, told in ((network, compared.before), (result.model, compared.after)):
        with torch.no_grad():
            found = model(x).argmax(1)
        overlaps = [
            ((found == kind) & (masks == kind)).sum() / ((found == kind) | (masks == kind)).sum()
            for kind in range(CLASSES)
        ]
        assert told == pytest.approx(float(torch.stack(overlaps).mean()))
    assert compared.before > 0.8
    assert compared.before - compared.after < 0.1


def test_targets_of_another_form_are_refused_before_any_work() -> None:
    x, masks = scenes(16, 1)
    task, network = Segmentation(classes=CLASSES), Maps(CLASSES).eval()
    with (
        pytest.raises(DataError, match=r"float32 of shape .*; expected class indices \(n, h, w\)"),
        pytest.warns(UserWarning, match="set apart"),
    ):
        actpress.compress(network, TensorDataset(x, masks.float()), task=task)
    with (
        pytest.raises(ModelError, match="maps of 16x16, the targets of 8x8"),
        pytest.warns(UserWarning, match="set apart"),
    ):
        actpress.compress(network, TensorDataset(x, masks[:, ::2, ::2]), task=task)
    with (
        pytest.raises(BudgetError, match=r"bounds a metric in dB, but .* mean IoU in %; ask for"),
        pytest.warns(UserWarning, match="set apart"),
    ):
        actpress.compress(network, TensorDataset(x, masks), task=task, budget="0.3dB")

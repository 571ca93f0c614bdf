"""Two small networks for other tasks than classification, and the data they are trained on.

Everything is made here: shapes on noise, and the classes of their pixels; drawings of waves and
edges, and what is left of them at half the size.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.data import Dataset, Split
from actpress.tasks import DenseRegression, Segmentation, Task

SIDE = 32
CLASSES = 4
"""Background, discs, squares, rings."""

TRAIN, HELD_OUT, TEST = 768, 256, 256
STEPS, BATCH = 400, 12


class Block(nn.Sequential):
    """Two convolutions, each with normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        parts: list[nn.Module] = []
        for channels in (inputs, outputs):
            parts += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False)]
            parts += [nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(*parts)


class UNet(nn.Module):
    """Three levels of 8, 16 and 32 channels, skip connections by concatenation."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = Block(3, 8), Block(8, 16), Block(16, 32)
        self.up2, self.join2 = nn.ConvTranspose2d(32, 16, 2, stride=2), Block(32, 16)
        self.up1, self.join1 = nn.ConvTranspose2d(16, 8, 2, stride=2), Block(16, 8)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 3, h, w) -> logits (n, classes, h, w)."""
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        three = self.middle(F.max_pool2d(two, 2))
        two = self.join2(torch.cat([self.up2(three), two], 1))
        one = self.join1(torch.cat([self.up1(two), one], 1))
        logits: Tensor = self.head(one)
        return logits


class SuperResolution(nn.Module):
    """Twice the height and width: convolutions at the small size, then pixels are shuffled."""

    def __init__(self, channels: int = 24, layers: int = 4) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for number in range(layers):
            parts += [nn.Conv2d(channels if number else 1, channels, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*parts)
        self.last = nn.Conv2d(channels, 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 1, h, w) -> (n, 1, 2 h, 2 w): the nearest pixels, and what they lack."""
        wide = F.interpolate(x, scale_factor=2.0, mode="nearest")
        output: Tensor = wide + self.shuffle(self.last(self.body(x)))
        return output


@dataclass(frozen=True)
class Trained:
    """A network, what it was trained on, and what its outputs mean."""

    network: nn.Module
    data: Dataset


def unet() -> Trained:
    """Segmentation of shapes."""
    return _trained("shapes", UNet, scenes, Segmentation(classes=CLASSES))


def super_resolution() -> Trained:
    """Drawings at twice their size."""
    return _trained("drawings", SuperResolution, drawings, DenseRegression())


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Shapes of any colour on a shaded background with noise.

    Returns:
        Images (count, 3, SIDE, SIDE), and the class of every pixel (count, SIDE, SIDE), uint8.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, columns = _grid()
    slope = 0.5 * torch.randn(count, 3, 2, generator=generator)
    images = slope[..., 0, None, None] * rows + slope[..., 1, None, None] * columns
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.uint8)
    for number in range(count):
        for kind in torch.randint(1, CLASSES, (3,), generator=generator).tolist():
            x, y, size = torch.rand(3, generator=generator).tolist()
            shape = _shape(kind, rows - (2 * y - 1), columns - (2 * x - 1), 0.2 + 0.25 * size)
            colour = 1.5 * torch.randn(3, generator=generator)
            images[number] = torch.where(shape, colour[:, None, None], images[number])
            masks[number][shape] = kind
    return images + 0.2 * torch.randn(images.shape, generator=generator), masks


def _shape(kind: int, rows: Tensor, columns: Tensor, size: float) -> Tensor:
    distance = (rows.square() + columns.square()).sqrt()
    if kind == 1:
        return distance < size
    if kind == 2:
        return torch.maximum(rows.abs(), columns.abs()) < size
    return (distance < size) & (distance > size / 2)


def drawings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Waves within the halves of a plane that lines cut, in [0, 1].

    Returns:
        Images of half the size (count, 1, SIDE / 2, SIDE / 2), and whole (count, 1, SIDE, SIDE).
    """
    generator = torch.Generator().manual_seed(seed)
    rows, columns = _grid()
    whole = torch.full((count, SIDE, SIDE), 0.5)
    for _ in range(4):
        angle, cut, turn, speed, phase, height, shift = torch.rand(
            7, count, 1, 1, generator=generator
        )
        turned = rows * torch.sin(math.pi * turn) + columns * torch.cos(math.pi * turn)
        wave = torch.sin((4 + 30 * speed) * turned + 2 * math.pi * phase)
        side = rows * torch.sin(2 * math.pi * angle) + columns * torch.cos(2 * math.pi * angle)
        added = 0.25 * height * wave + 0.5 * (shift - 0.5)
        whole = whole + torch.sigmoid(80 * (side - cut + 0.3)) * added
    whole = whole.clamp(0, 1)[:, None]
    return F.avg_pool2d(whole, 2), whole


def _grid() -> tuple[Tensor, Tensor]:
    """Rows and columns from -1 to 1, each (SIDE, SIDE)."""
    line = torch.linspace(-1, 1, SIDE)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return rows, columns


def _trained(name: str, build: type[nn.Module], make: object, task: Task) -> Trained:
    assert callable(make)
    splits = [
        Split.in_memory(*make(count, seed))
        for seed, count in enumerate((TRAIN, HELD_OUT, TEST), start=1)
    ]
    data = Dataset(name, splits[0], splits[1], splits[2], 0, task)
    torch.manual_seed(0)
    network = build()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    generator, step = torch.Generator().manual_seed(0), 0
    while step < STEPS:
        for x, target in data.train.batches(BATCH, generator=generator):
            if step == STEPS:
                break
            optimizer.zero_grad()
            loss = task.loss(network(x), target)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
    return Trained(network.eval(), data)

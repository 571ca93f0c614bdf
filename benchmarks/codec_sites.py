"""The reference networks under transform coding at one signal to noise ratio, and their symbols."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.budget import Budget
from actpress.codec import SiteCodec, seen_by
from actpress.data import Dataset, load_fashion_mnist
from actpress.graph import Graph, capture
from actpress.methods import Job, Settings
from actpress.methods.principal_components import plan_at
from actpress.plan import Placement
from actpress.pressing import CompressedModel
from actpress.zoo import reference

DECIBELS = 12.0
VARIANT = f"{DECIBELS:g}dB"
SPEED_IMAGES = 64
Symbols = NDArray[np.int32]


@dataclass(frozen=True)
class Coded:
    """A pressed network with what it was made from; no search is needed."""

    pressed: CompressedModel
    graph: Graph
    data: Dataset

    @classmethod
    def network(cls, name: str) -> "Coded":
        """One of the reference networks."""
        data = load_fashion_mnist()
        graph = capture(reference.load(name), next(data.train.batches(2))[0])
        job = Job(graph, data, Budget.parse("1bits"), Settings(calibration_images=1000))
        observed = job.calibrate(Placement.PRE_ACT)
        pressed = job.press(plan_at(job, observed, DECIBELS), observed)
        return cls(pressed, graph, data)

    def symbols(self) -> list[tuple[SiteCodec, Symbols]]:
        """Codec and symbols, shape (n, k, ...), of every site, for the first test images."""
        kept: list[tuple[SiteCodec, Symbols]] = []

        class Keep:
            def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
                del x, x_hat
                kept.append((codec, q.int().contiguous().numpy()))

        probes = dict.fromkeys(self.pressed.codecs.values(), Keep())
        with torch.no_grad(), seen_by(probes):
            self.pressed.eval()(next(self.data.test.batches(SPEED_IMAGES))[0])
        return kept

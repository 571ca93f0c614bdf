"""Uniform activation quantization by brevitas, trained like our `lsq`: is our baseline weaker?

Needs the extra `bench`. brevitas has one scale per tensor, ours one step per channel. Its scales
are learned only once its statistics are collected, which a few forward passes in train mode do
beforehand; the levels it really uses are counted.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, cast

import torch
from brevitas.nn import QuantIdentity
from brevitas.quant import Int8ActPerTensorFloat, Uint8ActPerTensorFloat
from torch import Tensor, nn

from actpress.calibration import Statistics
from actpress.evaluation import predict
from actpress.graph import Graph, insert_codecs
from actpress.methods import Job
from actpress.methods.uniform import best_step, uniform_plan
from actpress.plan import Placement
from actpress.pressing import CompressedModel
from actpress.tune import Learned, tune
from benchmarks.store import Row

STATISTICS_BATCHES = 10


class _Peer(nn.Module):
    """A brevitas quantizer where a codec would be."""

    def __init__(self, bit_width: int, *, signed: bool) -> None:
        super().__init__()
        kind = Int8ActPerTensorFloat if signed else Uint8ActPerTensorFloat
        self.quantizer = cast(
            Any,
            QuantIdentity(
                act_quant=kind, bit_width=bit_width, collect_stats_steps=STATISTICS_BATCHES
            ),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.quantizer(x), x.new_zeros(())


def measure_brevitas(job: Job, bit_width: int) -> Row:
    """Train the scales of every site for as many steps as the job says; test accuracy.

    Args:
        job: network, data and settings.
        bit_width: of every site.
    """
    statistics = job.calibrate(Placement.POST_ACT)
    steps = {name: best_step(own, bit_width) for name, own in statistics.sites.items()}
    plan = uniform_plan(job, steps, bit_width)  # names the sites; the steps are brevitas' own
    pressed = CompressedModel(_insert(job.graph, statistics, bit_width), plan).to(job.device)
    _collect(job, pressed)
    settings = job.settings.tune
    learned = [
        Learned((scale,), settings.step_lr * float(scale.detach().abs().mean()))
        for peer in pressed.network.codecs.values()
        for scale in peer.parameters()
    ]
    report = tune(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        settings,
        target_bits=float("inf"),
        learned=learned,
        purpose="brevitas",
    )
    test = job.data.test
    reference = float((predict(job.graph.eval_module, test) == test.labels).float().mean())
    accuracy = float((predict(pressed, test) == test.labels).float().mean())
    return {
        "brevitas": version("brevitas"),
        "float_accuracy": reference,
        "accuracy": accuracy,
        "accuracy_drop_pp": 100 * (reference - accuracy),
        "most_levels": _most_levels(job, pressed),
        "tune_seconds": report.seconds,
    }


def _insert(graph: Graph, statistics: Statistics, bit_width: int) -> Any:
    peers: Mapping[str, nn.Module] = {
        site.name: _Peer(bit_width, signed=bool(statistics.sites[site.name].minimum.min() < 0))
        for site in graph.sites
    }
    return insert_codecs(graph, peers, statistics.placements)


@torch.no_grad()
def _collect(job: Job, pressed: CompressedModel) -> None:
    """Let brevitas see batches; only its quantizers are in train mode."""
    pressed.eval()
    peers = list(pressed.network.codecs.values())
    for peer in peers:
        peer.train()
    done = 0
    while done <= STATISTICS_BATCHES:
        for batch in job.calibration_batches():
            pressed(batch)
            done += 1
    pressed.eval()


@torch.no_grad()
def _most_levels(job: Job, pressed: CompressedModel) -> int:
    """The largest number of distinct values that one site's quantizer gave on a batch."""
    levels = []
    hooks = [
        peer.register_forward_hook(lambda _m, _i, out: levels.append(len(out[0].unique())))
        for peer in pressed.network.codecs.values()
    ]
    pressed(next(job.calibration_batches()))
    for hook in hooks:
        hook.remove()
    return max(levels)

"""Running a pressed network on the test split and accounting for it."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actpress.calibration import Statistics
from actpress.codec import counting
from actpress.cost import EnergyModel
from actpress.data.dataset import Split
from actpress.errors import ModelError
from actpress.evaluation.account import (
    account_energy,
    account_sites,
    account_traffic,
    total_views,
)
from actpress.evaluation.confidence import Comparison, guessing_accuracy
from actpress.evaluation.metrics import (
    ACCURACY,
    AGREEMENT,
    MeasuredMetrics,
    Metrics,
    PathPoint,
    Views,
)
from actpress.graph import Graph, eval_mode, macs_per_image
from actpress.pressing import CompressedModel
from actpress.stream import ByteTransport, stream_bytes, through_bytes
from actpress.tasks import CLASSIFICATION, Task

BATCH = 100


@dataclass(frozen=True)
class RunInfo:
    """What a method did, to be written beside the numbers.

    Attributes:
        model, data, method, variant, seed, budget, objective: as in `Metrics`.
        batch: images for which codecs are fetched once.
        search: the greedy path.
        search_node_evals, search_seconds, tune_seconds: as in `Metrics`.
        settings: for the reader.
        held_out: as in `Metrics`.
    """

    model: str = ""
    data: str = ""
    method: str = ""
    variant: str = ""
    seed: int = 0
    budget: str = ""
    objective: str = ""
    batch: int = 1
    search: tuple[PathPoint, ...] = ()
    search_node_evals: int = 0
    search_seconds: float = 0.0
    tune_seconds: float = 0.0
    settings: dict[str, str | int | float | bool] | None = None
    held_out: Comparison | None = None

    @classmethod
    def again(cls, earlier: Metrics, *, data: str) -> "RunInfo":
        """What was run, taken from earlier metrics; the data may be other ones."""
        return cls(
            model=earlier.model,
            data=data,
            method=earlier.method,
            variant=earlier.variant,
            seed=earlier.seed,
            budget=earlier.budget,
            objective=earlier.objective,
            batch=earlier.traffic.batch,
            search=earlier.search,
            search_node_evals=earlier.search_node_evals,
            search_seconds=earlier.search_seconds,
            tune_seconds=earlier.tune_seconds,
            settings=earlier.settings,
            held_out=earlier.held_out,
        )


@torch.no_grad()
def predict(
    model: nn.Module,
    split: Split,
    *,
    task: Task = CLASSIFICATION,
    batch: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Tensor:
    """What a network decides on a split in eval mode, such as classes (n,), int64.

    Raises:
        ModelError: the output is not of the task, or not finite.
        DataError: an image is not finite.
    """
    device = _device_of(model)
    predictions: list[Tensor] = []
    with eval_mode(model):
        for x, target in split.batches(batch):
            output = model(x.to(device))
            task.check(output, target, images=len(x))
            _check_finite(output, sum(map(len, predictions)))
            predictions.append(task.predictions(output).cpu())
            on_batch(len(x))
    return torch.cat(predictions)


def evaluate(
    pressed: CompressedModel,
    graph: Graph,
    test: Split,
    info: RunInfo,
    *,
    statistics: Statistics | None = None,
    energy: EnergyModel | None = None,
    float_predictions: Tensor | None = None,
    measured: bool = False,
    batch: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Metrics:
    """Accuracy, bits, traffic and energy on the test split.

    Without labels the decisions of the float network take their place, and accuracy is agreement.

    Args:
        pressed: the model, its tables fitted on training images.
        graph: of the float network.
        test: the split to report on.
        info: what was run.
        statistics: for the spectra of the report.
        energy: of the memory; LPDDR4 by default.
        float_predictions: of the float network on this split, when they are known already.
        measured: send every activation through real bytes, and report their length.
        batch: images per batch, and per frame of the stream that is measured.
        on_batch: called with the number of images of every batch, for progress.
    """
    task = graph.task
    if float_predictions is None:
        float_predictions = predict(graph.eval_module, test, task=task, on_batch=on_batch)
    with ExitStack() as stack:
        counters = stack.enter_context(counting(pressed.codecs))
        transports = stack.enter_context(through_bytes(pressed)) if measured else None
        predictions = predict(pressed, test, task=task, batch=batch, on_batch=on_batch)
    sites = account_sites(graph, pressed, counters, statistics)
    bits, values = total_views(sites), sum(site.values for site in sites)
    bits_per_value = Views(fixed=bits.fixed / values, entropy=bits.entropy / values)
    tables = pressed.table_bits()
    traffic = account_traffic(sites, tables, batch=info.batch)
    stream = None
    if transports is not None:
        stream = _measure(pressed, transports, len(test), batch, bits.entropy, values)
    targets = test.labels if test.is_labelled else float_predictions
    float_accuracy = task.metric(float_predictions, targets)
    accuracy = task.metric(predictions, targets)
    return Metrics(
        model=info.model,
        data=info.data,
        method=info.method,
        variant=info.variant,
        seed=info.seed,
        images=len(test),
        metric=ACCURACY if test.is_labelled else AGREEMENT,
        float_accuracy=float_accuracy,
        accuracy=accuracy,
        accuracy_drop_pp=(float_accuracy - accuracy) * 100,
        accuracy_drop_error_pp=Comparison.of(float_predictions, predictions, targets).drop_error_pp,
        guessing_accuracy=(
            guessing_accuracy(float_predictions, targets) if test.is_labelled else None
        ),
        held_out=info.held_out,
        agreement=task.agreement(predictions, float_predictions),
        bits_per_value=bits_per_value,
        context_free_bits_per_value=sum(site.context_free_bits for site in sites) / values,
        stored_ratio_8bit=8 * values / max(bits.entropy, 1.0),
        net_moved_ratio_8bit_batch1=traffic.net_ratio_8bit_batch1.entropy,
        network_macs=macs_per_image(graph.eval_module, *graph.example),
        search_node_evals=info.search_node_evals,
        search_seconds=info.search_seconds,
        tune_seconds=info.tune_seconds,
        budget=info.budget,
        objective=info.objective,
        scope=describe_scope(graph, pressed),
        traffic=traffic,
        energy=account_energy(sites, tables, energy or EnergyModel(), batch=info.batch),
        sites=sites,
        measured=stream,
        search=info.search,
        settings=info.settings or {},
    )


def _measure(
    pressed: CompressedModel,
    transports: Mapping[str, ByteTransport],
    images: int,
    batch: int,
    entropy_bits: float,
    values: int,
) -> MeasuredMetrics:
    length = stream_bytes(pressed, transports, frames=-(-images // batch))
    bits = 8 * length / images
    return MeasuredMetrics(
        batch=batch,
        stream_bytes=length,
        bits_per_value=bits / values,
        excess_over_entropy=bits / max(entropy_bits, 1.0) - 1,
        site_bits={name: 8 * part.total_bytes / images for name, part in transports.items()},
    )


def describe_scope(graph: Graph, pressed: CompressedModel) -> str:
    """Which sites the numbers cover, in words."""
    placements = sorted({str(site.placement) for site in pressed.plan})
    return (
        f"{len(pressed.plan)} of {len(graph.sites)} stored activations "
        f"({', '.join(placements)}); network input and logits excluded"
    )


def _check_finite(output: Tensor, before: int) -> None:
    """Refuse decisions about images, the first of which has that position, that mean nothing."""
    finite = output.flatten(1).isfinite().all(1) if output.ndim > 1 else output.isfinite()
    if not finite.all():
        raise ModelError(
            f"the network's output for image {before + int(finite.logical_not().nonzero()[0])} is "
            f"NaN or infinite; expected finite numbers; check its weights, and how the images are "
            f"prepared"
        )


def _device_of(model: nn.Module) -> torch.device:
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device

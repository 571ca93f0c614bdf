"""Running a pressed network on the test split and accounting for it."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from actpress.calibration import Statistics
from actpress.codec import counting
from actpress.cost import EnergyModel
from actpress.data.dataset import Split
from actpress.evaluation.account import (
    account_energy,
    account_sites,
    account_traffic,
    total_views,
)
from actpress.evaluation.confidence import Comparison
from actpress.evaluation.judging import BATCH, Reference, judge, refer
from actpress.evaluation.metrics import (
    MeasuredMetrics,
    Metrics,
    PathPoint,
    Views,
    quality_fields,
)
from actpress.graph import Graph, images_at_once, macs_per_image
from actpress.pressing import CompressedModel
from actpress.stream import ByteTransport, stream_bytes, through_bytes
from actpress.team import ALONE, Team


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


def evaluate(
    pressed: CompressedModel,
    graph: Graph,
    test: Split,
    info: RunInfo,
    *,
    statistics: Statistics | None = None,
    energy: EnergyModel | None = None,
    reference: Reference | None = None,
    measured: bool = False,
    batch: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
    team: Team = ALONE,
) -> Metrics:
    """The metric, bits, traffic and energy on the test split.

    Without labels the decisions of the float network take their place, and agreement that of the
    metric.

    Args:
        pressed: the model, its tables fitted on training images.
        graph: of the float network.
        test: the split to report on.
        info: what was run.
        statistics: for the spectra of the report.
        energy: of the memory; LPDDR4 by default.
        reference: what the float network does on this split, when that is known already.
        measured: send every activation through real bytes, and report their length.
        batch: images per frame of the stream that is measured, and at once, at most.
        on_batch: called with the number of images of every batch, for progress.
        team: that shares the images; one process where real bytes are measured.
    """
    task, at_once = graph.task, images_at_once(graph, batch)
    if reference is None:
        reference = refer(
            graph.eval_module, test, task=task, batch=at_once, on_batch=on_batch, team=team
        )
    with ExitStack() as stack:
        counters = stack.enter_context(counting(pressed.codecs, team=team))
        transports = stack.enter_context(through_bytes(pressed)) if measured else None
        at_once = batch if measured else at_once
        judged = judge(
            pressed, test, reference, task=task, batch=at_once, on_batch=on_batch, team=team
        )
    sites = account_sites(graph, pressed, counters, statistics)
    coded, planned = total_views(sites), sum(site.values for site in sites)
    tables = pressed.table_bits()
    untouched = [site for site in graph.sites if site.name not in pressed.codecs]
    left_bits = 8.0 * sum(site.values for site in untouched)
    values = planned + sum(site.values for site in untouched)
    bits = Views(fixed=coded.fixed + left_bits, entropy=coded.entropy + left_bits)
    bits_per_value = Views(fixed=bits.fixed / values, entropy=bits.entropy / values)
    context_free_bits = sum(site.context_free_bits for site in sites) + left_bits
    traffic = account_traffic(sites, tables, batch=info.batch, untouched=untouched)
    stream = None
    if transports is not None:
        stream = _measure(pressed, transports, len(test), batch, coded.entropy, planned)
    quality = Comparison.of(task, reference.evidence, judged.evidence, images=len(test))
    return Metrics(
        model=info.model,
        data=info.data,
        method=info.method,
        variant=info.variant,
        seed=info.seed,
        images=len(test),
        **quality_fields(quality),
        guessing_accuracy=task.by_guessing(reference.evidence),
        held_out=info.held_out,
        agreement=task.agreement(judged.sameness),
        bits_per_value=bits_per_value,
        context_free_bits_per_value=context_free_bits / values,
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
        energy=account_energy(
            sites, tables, energy or EnergyModel(), batch=info.batch, untouched=untouched
        ),
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
    count, planned = len(graph.sites), len(pressed.plan)
    rest = "; the others stay as they are, counted at 8 bit" if planned < count else ""
    return (
        f"{planned} of {count} stored activations ({', '.join(placements)}){rest}; network input "
        f"and output excluded"
    )

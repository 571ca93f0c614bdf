"""The numbers of one evaluated network, as they are written to `metrics.json`.

Accounting rules: docs/methods.md. "Value" always means a value of the original activation, so
dropped components count in every denominator.
"""

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from actpress.budget import View
from actpress.cost import SiteUse
from actpress.evaluation.confidence import Comparison
from actpress.tasks.metric import ACCURACY, AGREEMENT

FORMAT_VERSION = 2

SHARED = (ACCURACY, AGREEMENT)
"""Metrics that have fields of their own, which other tasks leave out for `quality`."""

SHARED_NAMES = tuple(metric.name for metric in SHARED)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Views(_Record):
    """One quantity under both ways of counting bits."""

    fixed: float
    entropy: float

    def __getitem__(self, view: View) -> float:
        return float(getattr(self, view))


class SiteMetrics(_Record):
    """One site, per inference (one image).

    Attributes:
        name, shape, reads, placement, transform, channels, block, rank, step: as planned.
        values: original values, c*h*w.
        widths: bits that plain packing gives a component, and how many of the components get them,
            by falling bits; those of 0 bits are dropped, or constant.
        bits: stored bits per inference, under both views.
        context_free_bits: entropy of its components one by one, on the evaluated images: what code
            tables need at least that know nothing of a symbol's neighbours.
        bits_per_value: `bits / values`.
        traffic_share: of the network's 8-bit traffic (write + reads), in [0, 1].
        traffic_bits_8bit: (1 + reads) * values * 8.
        traffic_bits: (1 + reads) * bits.
        parameter_bits: what this codec must fetch: matrices, offsets, steps and widths.
        folded_parameter_bits: the same without what a linear neighbour can absorb.
        credit_bits: by which weights of these neighbours shrink (8 bits a weight); negative where
            they grow. A codec's parameters are free up to it.
        index_bits: fetched to name the code tables of each component, in the entropy view.
        extra_macs, folded_extra_macs: multiply-accumulates of encoder and decoder.
        credit_macs: by which those of these neighbours become fewer; negative where they become
            more.
        encoder_folds_into, decoder_folds_into: linear neighbours that can absorb them.
        distortion_mse: mean squared error of the stored value, in squared activation units.
        eigenvalues: variance per component by falling order (c * block^2); empty without PCA.
    """

    name: str
    shape: tuple[int, ...]
    reads: int
    placement: str
    transform: str
    channels: int
    block: int = 1
    rank: int
    step: float
    values: Annotated[int, Field(ge=1)]
    widths: tuple[tuple[int, int], ...] = ()
    bits: Views
    context_free_bits: float
    bits_per_value: Views
    traffic_share: float
    traffic_bits_8bit: float
    traffic_bits: Views
    parameter_bits: float
    folded_parameter_bits: float
    credit_bits: float
    index_bits: float
    extra_macs: int
    folded_extra_macs: int
    credit_macs: float = 0.0
    encoder_folds_into: str | None
    decoder_folds_into: tuple[str, ...]
    distortion_mse: float
    eigenvalues: tuple[float, ...]

    @property
    def components(self) -> int:
        """Components of a block before any is dropped: c * block^2."""
        return self.channels * self.block**2

    def use(self, view: View) -> SiteUse:
        """The site as an objective prices it."""
        return SiteUse(
            values=self.values,
            reads=self.reads,
            stored_bits=self.bits[view],
            parameter_bits=self.folded_parameter_bits,
            index_bits=self.index_bits if view is View.ENTROPY else 0.0,
            credit_bits=self.credit_bits,
            macs=self.folded_extra_macs,
            credit_macs=self.credit_macs,
        )


class TrafficMetrics(_Record):
    """Bits moved per inference over all sites: one write plus one read per consumer.

    Attributes:
        bits_8bit: the network as it is, at 8 bits a value.
        bits: after compression.
        ratio_8bit, ratio_16bit, ratio_32bit: before / after, against each width.
        batch: images for which codecs are fetched once.
        parameter_bits: of all codecs, nothing folded.
        folded_parameter_bits: the same with folding.
        credit_bits: by which neighbours shrink that take in matrices.
        fetched_bits: parameters and, under the entropy view, indices that are left after folding,
            each site's parameters less its credit but never below zero; per batch.
        index_bits: the part of it that names code tables; entropy view only.
        table_bits: the network's code tables, fetched besides under the entropy view; per batch.
        net_ratio_8bit: bits_8bit / (bits + (fetched_bits, + table_bits for entropy) / batch).
        net_ratio_8bit_batch1: the same at batch 1.
        net_ratio_8bit_unfolded: the same as net_ratio_8bit with nothing folded.
    """

    bits_8bit: Annotated[float, Field(gt=0)]
    bits: Views
    ratio_8bit: Views
    ratio_16bit: Views
    ratio_32bit: Views
    batch: Annotated[int, Field(ge=1)]
    parameter_bits: float
    folded_parameter_bits: float
    credit_bits: float
    fetched_bits: Views
    index_bits: float
    table_bits: float
    net_ratio_8bit: Views
    net_ratio_8bit_batch1: Views
    net_ratio_8bit_unfolded: Views


class EnergyMetrics(_Record):
    """Energy per inference of activation traffic, in picojoule.

    Attributes:
        memory: name of the memory, `pj_per_bit` its cost, `mac_pj` that of one extra MAC.
        before_pj: 8-bit traffic.
        after_pj: compressed traffic, codec parameters and extra MACs, with folding.
    """

    memory: str
    pj_per_bit: float
    mac_pj: float
    before_pj: float
    after_pj: Views


class MeasuredMetrics(_Record):
    """The test split as one real stream, through which every activation went.

    Attributes:
        batch: images per frame.
        stream_bytes: length of the stream, headers, checksums and tables' escapes included.
        bits_per_value: of the stream, over all declared sites.
        excess_over_entropy: bits_per_value / that of the entropy view - 1.
        site_bits: bits of each site's records per inference.
    """

    batch: Annotated[int, Field(ge=1)]
    stream_bytes: int
    bits_per_value: float
    excess_over_entropy: float
    site_bits: dict[str, float]


class PathPoint(_Record):
    """One accepted move of a search: the state of the whole network after it, as estimated."""

    site: str
    transform: str
    rank: int
    step: float
    bits_per_value: float
    price: float
    loss: float


class LatencyMetrics(_Record):
    """Of one image in PyTorch on one thread, medians of paired runs.

    Attributes:
        device: type of the device, such as cpu.
        before_ms: the float network.
        after_ms: the compressed one, frozen. PyTorch stores and reads whole floats either way, so
            that codecs are work on top; a device that moves fewer bytes may be faster.
    """

    device: str
    before_ms: Annotated[float, Field(gt=0)]
    after_ms: Annotated[float, Field(gt=0)]


class Metrics(_Record):
    """Everything that `metrics.json` holds.

    Attributes:
        version: of this format.
        model, data, method, variant, seed: what was run.
        images: test images evaluated.
        metric: the name of what the task measures: `accuracy`, which is not written, `agreement`
            with the float network where images have no labels (its own is 1), or another.
        float_accuracy, accuracy: top-1, or agreement, in [0, 1] on the test split; None of other
            metrics.
        accuracy_drop_pp: (float_accuracy - accuracy) * 100.
        quality: another metric on the test split, before and after; None, and not written, where
            the fields above hold it. `compared` is either.
        accuracy_drop_error_pp: half of the 95 % interval of the drop; None in older files.
        guessing_accuracy: what the float network's predictions would reach if they were as
            frequent, but said nothing about their images; None in older files.
        held_out: the images that decided an accuracy budget; None for other budgets.
        agreement: share of test images on which both networks predict the same class.
        bits_per_value: over all declared sites.
        context_free_bits_per_value: the same of the sites' `context_free_bits`.
        stored_ratio_8bit: 8 / bits_per_value.entropy: of what is stored, each value once. What is
            moved counts every read too, and stands in `traffic`.
        net_moved_ratio_8bit_batch1: traffic.net_ratio_8bit_batch1.entropy.
        network_macs: multiply-accumulates of the float network per image, which the extra ones of
            codecs come on top of; None in older files.
        objective: what searches and training priced, in words.
        search_node_evals: graph nodes that the search executed.
        search_seconds, tune_seconds: wall clock.
        latency: of one image in PyTorch; None where it was not measured.
        budget: as asked; empty when the plan was given.
        scope: which sites are counted, in words.
        measured: length of real bytes; None when only the two estimates were asked for.
        search: the greedy path in the order of its moves; empty for methods without one.
        settings: of the run, for the reader.
    """

    version: int = FORMAT_VERSION
    model: str
    data: str
    method: str
    variant: str
    seed: int
    images: Annotated[int, Field(ge=1)]
    metric: str = ACCURACY.name
    float_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    accuracy_drop_pp: float | None = None
    quality: Comparison | None = None
    accuracy_drop_error_pp: float | None = None
    guessing_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    held_out: Comparison | None = None
    agreement: Annotated[float, Field(ge=0, le=1)]
    bits_per_value: Views
    context_free_bits_per_value: float
    stored_ratio_8bit: float
    net_moved_ratio_8bit_batch1: float
    network_macs: int | None = None
    search_node_evals: int
    search_seconds: float
    tune_seconds: float
    latency: LatencyMetrics | None = None
    budget: str
    objective: str
    scope: str
    traffic: TrafficMetrics
    energy: EnergyMetrics
    sites: tuple[SiteMetrics, ...]
    measured: MeasuredMetrics | None = None
    search: tuple[PathPoint, ...] = ()
    settings: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _has_quality(self) -> Self:
        values = (self.float_accuracy, self.accuracy, self.accuracy_drop_pp)
        if self.quality is None and (None in values or self.metric not in SHARED_NAMES):
            raise ValueError(f"neither accuracy nor quality is there for the metric {self.metric}")
        return self

    @property
    def compared(self) -> Comparison:
        """What the task measures, before and after."""
        if self.quality is not None:
            return self.quality
        assert self.float_accuracy is not None, "validated"
        assert self.accuracy is not None, "validated"
        return Comparison(
            name=self.metric,
            images=self.images,
            before=self.float_accuracy,
            after=self.accuracy,
            drop_error_pp=self.accuracy_drop_error_pp,
        )

    @model_serializer(mode="wrap")
    def _without_usual_metric(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields, without `metric` where it is the usual one, and those of other metrics."""
        fields: dict[str, Any] = handler(self)
        if self.metric == ACCURACY.name:
            fields.pop("metric", None)
        other = ACCURACY_FIELDS if self.quality is not None else ("quality",)
        for name in other:
            fields.pop(name, None)
        return fields


ACCURACY_FIELDS = (
    "float_accuracy",
    "accuracy",
    "accuracy_drop_pp",
    "accuracy_drop_error_pp",
    "guessing_accuracy",
)


def quality_fields(quality: Comparison) -> dict[str, Any]:
    """The fields of `Metrics` that hold what a task measures."""
    if quality.metric not in SHARED:
        return {"metric": quality.name, "quality": quality}
    return {
        "metric": quality.name,
        "float_accuracy": quality.before,
        "accuracy": quality.after,
        "accuracy_drop_pp": quality.drop_pp,
        "accuracy_drop_error_pp": quality.drop_error_pp,
    }

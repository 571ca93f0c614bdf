"""Settings of a job, and what data and a budget do not allow."""

from dataclasses import dataclass, field, replace

from actpress.allocate import SearchSettings
from actpress.budget import Budget
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError, PlanError, TuningError
from actpress.settings import (
    CALIBRATION_IMAGES,
    MAX_BLOCK,
    SEARCH_IMAGES,
    WORKING_MIB,
    TuneSettings,
    WidthSettings,
)
from actpress.tasks import DECIBEL, PERCENT, Custom


@dataclass(frozen=True)
class Settings:
    """How much data each stage uses, and the settings of search and tuning.

    Attributes:
        calibration_images: training images for statistics, ranges and code tables.
        search_images: held-out training images on which moves are tried; never more than half of
            them all, see `Job.search_images`.
        decoder_images: training images on which decoders are fitted in closed form, fewer where
            they would need more than `working_mib`; 0 leaves them as PCA made them.
        holdout_images: other held-out training images, which decide a budget of quality.
        block: side of the blocks of pixels that are projected together, where it divides a site's
            height and width and leaves at most `MOST_COMPONENTS` components. None is pixel by
            pixel, and 2 for transforms that take blocks alone.
        search, tune, widths: see there.
        working_mib: MiB for the values of images that a search and what it gives need at once. Less
            takes smaller batches, so that sums are rounded otherwise, and maybe fewer images for
            decoders. The network, torch itself, the images, and what is kept of each site (bases
            and statistics) come on top.
        groups: of equal size, of the components of a site, that learn their widths together; None
            cuts where a spectrum falls.

    Raises:
        PlanError: a block has no such side.
        BudgetError: `working_mib` is no whole number above zero.
        TuningError: `search.seed` is another one than `tune.seed`; a job has one seed.
    """

    calibration_images: int = CALIBRATION_IMAGES
    search_images: int = SEARCH_IMAGES
    decoder_images: int = 512
    holdout_images: int = 5000
    block: int | None = None
    working_mib: int = WORKING_MIB
    search: SearchSettings = field(default_factory=SearchSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    widths: WidthSettings = field(default_factory=WidthSettings)
    groups: int | None = None

    def __post_init__(self) -> None:
        if self.block is not None and not 1 <= self.block <= MAX_BLOCK:
            raise PlanError(f"a block has a side of 1 to {MAX_BLOCK} pixels, not {self.block}")
        if self.working_mib < 1 or self.working_mib % 1:
            raise BudgetError(
                f"working_mib is a whole number of MiB, one at least, not {self.working_mib}"
            )
        if self.search.seed not in (None, self.tune.seed):
            raise TuningError(
                f"search.seed is {self.search.seed}, but tune.seed is {self.tune.seed}: a job has "
                f"one seed; set tune.seed alone, with search.seed None"
            )
        object.__setattr__(self, "search", replace(self.search, seed=self.tune.seed))

    @property
    def working_memory(self) -> int:
        """In bytes."""
        return int(self.working_mib) << 20

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.tune.seed


def held_out_size(data: Dataset, settings: Settings) -> int:
    """Held-out images that the search does not see."""
    return len(data.holdout) - min(settings.search_images, len(data.holdout) // 2)


def check_labels(data: Dataset, budget: Budget, settings: Settings) -> None:
    """Refuse what needs labels where there are none, and a budget in another unit than the metric.

    Raises:
        BudgetError: the budget bounds what cannot be told.
        TuningError: training weighs the labels.
    """
    metric = data.task.metric
    if settings.tune.task and isinstance(data.task, Custom):
        raise TuningError(
            f"the task {data.task.name} has no loss of its targets, but its weight (task) is "
            f"{settings.tune.task:g}; leave it at 0"
        )
    if data.is_labelled:
        if budget.is_quality and budget.quality_unit != metric.unit:
            raise BudgetError(
                f"the budget {budget} bounds a metric in {budget.quality_unit}, but that of "
                f"{data.task.name} is {metric.name}{f' in {metric.unit}' if metric.unit else ''}; "
                f"{_ASKS.get(metric.unit, 'ask for bits or a ratio, such as 1bits or 6x')}"
            )
        return
    if budget.is_quality:
        raise BudgetError(
            f"{data.name} has no labels, so a drop of accuracy ({budget}) cannot be told; ask for "
            f"bits or a ratio instead, such as 1bits or 6x, and read the agreement"
        )
    if settings.tune.task:
        raise TuningError(
            f"{data.name} has no labels, but the weight of the labels' loss (task) is "
            f"{settings.tune.task:g}; leave it at 0"
        )


_ASKS = {
    PERCENT: "ask for points, such as 0.5pp, or for a ratio, such as 6x",
    DECIBEL: "ask for decibels, such as 0.3dB, or for a ratio, such as 6x",
}

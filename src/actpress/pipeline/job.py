"""What every method is given, and what it hands back."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from actpress.allocate import Offer, Search, offers
from actpress.budget import Budget, View
from actpress.calibration import Statistics, Watch, calibrate_all, fisher_of
from actpress.codec import block_side
from actpress.cost import EnergyModel, Objective, SiteUse, partners_of, use_of
from actpress.data.dataset import Dataset, Split
from actpress.errors import BudgetError, PlanError
from actpress.evaluation import Comparison, Judged, PathPoint, Reference, judge, refer
from actpress.graph import Graph, Site, bytes_with_gradients, give_back_freed, images_at_once
from actpress.pipeline.progress import Progress, Silence
from actpress.pipeline.settings import Settings, held_out_size
from actpress.plan import Placement, Plan, SitePlan
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.rules import Rule, What, apply_rules
from actpress.team import ALONE, Shared, Team

if TYPE_CHECKING:
    from actpress.pipeline.record import SearchRecord

RESERVE = 0.005
"""Plans aim so far below a budget: tables that were fitted on some images cost others a little
more."""

ROUNDING = 1e-9
"""Of a loss that is exactly what is allowed."""

BATCH = 100

RATE_IMAGES = 300
MOST_WITH_GRADIENTS = 64
"""Images that gradients are computed of at once, at most."""

LIVE_VALUES = 6
"""Values of the largest site's size that live while both networks run side by side, roughly."""


class PeakRam(Protocol):
    """Peak RAM of a network in C, which a layer above knows."""

    def peak_bytes(self, stored_bits: Mapping[str, float]) -> int:
        """Of packed maps and line buffers, where sites store other bits than the network's own."""

    def at_peak(self, stored_bits: Mapping[str, float]) -> str:
        """Names of the maps and line buffers that set the peak."""


@dataclass(frozen=True)
class Job:
    """One network to compress.

    Attributes:
        graph: the captured float network.
        data: its images; methods never open the test split.
        budget: what is asked.
        settings: how.
        energy: of the memory and of arithmetic.
        folder: where checkpoints go; None keeps none.
        progress: where to report.
        peak_ram: of a compressed network; only a budget of RAM asks.
        rules: per site, later ones win.
        searches: that have finished, for methods that begin alike; shared by copies of the job.
        team: the processes that share the images; `folder` is None in all but the first.
    """

    graph: Graph
    data: Dataset
    budget: Budget
    settings: Settings = field(default_factory=Settings)
    energy: EnergyModel = field(default_factory=EnergyModel)
    folder: Path | None = None
    progress: Progress = field(default_factory=Silence)
    peak_ram: Callable[[CompressedModel], PeakRam] | None = None
    rules: tuple[Rule, ...] = ()
    searches: "dict[str, SearchRecord]" = field(default_factory=dict, repr=False, compare=False)
    team: Team = ALONE

    @cached_property
    def treatments(self) -> dict[str, Rule]:
        """The rule of every site.

        Raises:
            PlanError: a rule matches no site.
        """
        return apply_rules(self.rules, [site.name for site in self.graph.sites])

    def check_rules(self, *, budgeted: bool = True) -> None:
        """Refuse rules that do not fit the network or the budget, before any work.

        Args:
            budgeted: whether the method heeds the budget.

        Raises:
            PlanError: a rule matches no site, or leaves nothing that a site could be.
            BudgetError: what is left alone takes all that the budget allows.
        """
        if not self.sites:
            raise PlanError("the rules leave all sites alone, so there is nothing to compress")
        if budgeted:
            self.planned_target()
        offers(
            self.sites,
            self.settings.search.transforms,
            block=self.settings.block,
            rules=self.treatments,
        )

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that methods may compress: all but those that a rule leaves alone."""
        return tuple(
            site for site in self.graph.sites if self.treatments[site.name].what is not What.LEAVE
        )

    @property
    def untouched_price(self) -> float:
        """Of the sites that a rule leaves alone."""
        return self.objective.reference(
            site for site in self.graph.sites if self.treatments[site.name].what is What.LEAVE
        )

    def planned_target(self) -> float:
        """The target of the sites that methods may compress; zero for a budget of quality.

        Raises:
            BudgetError: what is left alone takes all that the budget allows.
        """
        if not self.target():
            return 0.0
        left = self.target() - self.untouched_price
        if left <= 0:
            whole = self.objective.reference(self.graph.sites)
            raise BudgetError(
                f"the budget {self.budget} cannot be reached: the sites that rules leave alone "
                f"take {self.untouched_price / whole:.0%} of the whole already; leave fewer alone, "
                f"or ask for less"
            )
        return left

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.graph.eval_module.parameters()).device

    def calibration_batches(self) -> Shared[Tensor]:
        """Training images for statistics and tables."""
        return self._shared(self.data.train.take(self.settings.calibration_images))

    def decoder_batches(self) -> Shared[Tensor] | None:
        """Training images to fit decoders on; None where the settings ask for none."""
        if not self.settings.decoder_images:
            return None
        largest_bytes = 4 * max(site.values for site in self.graph.sites)
        affordable = max(self.settings.working_memory // (LIVE_VALUES * largest_bytes), 1)
        return self._shared(self.data.train.take(min(self.settings.decoder_images, affordable)))

    def rate_batches(self) -> Shared[Tensor]:
        """The first training images, on which smooth rates are aligned to real costs."""
        count = min(self.settings.calibration_images, RATE_IMAGES)
        kept = list(self._shared(self.data.train.take(count)))
        return Shared(lambda: kept, self.team)

    def _shared(self, split: Split) -> Shared[Tensor]:
        def own() -> Iterator[Tensor]:
            for x, _ in split.batches(self._batch, part=self.team.part):
                yield x.to(self.device)

        return Shared(own, self.team)

    def search_images(self) -> Tensor:
        """Training images on which the search tries its moves, shape (n, c, h, w).

        They are the last held-out ones: a network is too sure of the images it was trained on, and
        what hurts it there says little about others. Where that would be more than half of the
        held-out images, the rest is taken from those that feed calibration.
        """
        wanted, found = self.settings.search_images, self._searched_holdout()
        splits = [self.data.holdout.last(found)] if found else []
        if found < wanted:
            splits.append(self.data.train.take(wanted - found))
        return torch.cat([x for split in splits for x, _ in split.batches(BATCH)]).to(self.device)

    def validation(self) -> Split:
        """The held-out images that the search does not see."""
        return self.data.holdout.take(held_out_size(self.data, self.settings))

    @property
    def images_with_gradients(self) -> int:
        """Images whose values and gradients are held at once, one at least."""
        return max(min(self._affordable, MOST_WITH_GRADIENTS), 1)

    def check_memory(self) -> None:
        """Refuse working memory that does not hold a single image, before any work.

        Raises:
            BudgetError: it does not; says what would.
        """
        if not self._affordable:
            needed = math.ceil(bytes_with_gradients(self.graph) / (1 << 20))
            raise BudgetError(
                f"a working memory of {self.settings.working_mib} MiB does not hold the values and "
                f"gradients of one image; this network needs at least {needed} MiB"
            )

    @property
    def _batch(self) -> int:
        """Images that run through the network at once."""
        without_gradients = max(2 * self._affordable, 1)
        return images_at_once(self.graph, min(without_gradients, BATCH))

    @property
    def _affordable(self) -> int:
        """Images whose values and gradients fit into the working memory."""
        return self.settings.working_memory // bytes_with_gradients(self.graph)

    def _searched_holdout(self) -> int:
        return len(self.data.holdout) - held_out_size(self.data, self.settings)

    def calibrate(self, placement: Placement, *, in_blocks: bool = False) -> Statistics:
        """Statistics of every site, with the same placement everywhere.

        Args:
            placement: which of a site's two values.
            in_blocks: of the blocks of pixels that the settings ask for, where a site has them.
        """
        placements = {site.name: placement for site in self.sites}
        wanted = (self.settings.block or 1) if in_blocks else 1
        blocks = {site.name: block_side(site.shape, wanted) for site in self.sites}
        return self._calibrate([Watch(placements, blocks)])[0]

    def observe(self, kinds: Mapping[str, Sequence[Offer]]) -> list[Statistics]:
        """Statistics and Fisher information of all that sites are offered.

        There is a part for each side of blocks and each placement.
        """
        wanted = {(o.block, o.placement) for offers in kinds.values() for o in offers}
        watches = []
        for block, placement in sorted(wanted):
            observed = [
                name
                for name, offers in kinds.items()
                if any(o.block == block and o.placement == placement for o in offers)
            ]
            watches.append(
                Watch(dict.fromkeys(observed, placement), dict.fromkeys(observed, block))
            )
        return self._with_fisher(watches)

    def observe_plan(self, plan: Plan) -> Statistics:
        """Statistics and Fisher information of what a plan stores."""
        placements = {site.site: site.placement for site in plan}
        blocks = {site.site: site.block for site in plan}
        return self._with_fisher([Watch(placements, blocks)])[0]

    def _calibrate(self, watches: Sequence[Watch]) -> list[Statistics]:
        images = min(self.settings.calibration_images, len(self.data.train))
        self.progress.start("calibrate", images)
        batches = self.calibration_batches()
        counted = Shared(lambda: self._counted(batches), self.team)
        return calibrate_all(self.graph, counted, watches)

    def _with_fisher(self, watches: Sequence[Watch]) -> list[Statistics]:
        statistics, images = self._calibrate(watches), self.search_images()
        batches = images.split(self.images_with_gradients)
        found = fisher_of(self.graph, batches, watches, seed=self.settings.seed, team=self.team)
        return [
            replace(own, fisher=fisher, fisher_images=len(images))
            for own, fisher in zip(statistics, found, strict=True)
        ]

    def press(self, plan: Plan, statistics: Statistics) -> CompressedModel:
        """Apply a plan and fit its tables on training images.

        All processes take the plan of the first, should theirs differ.
        """
        agreed = self.team.from_first(lambda: plan)
        pressed = press(self.graph, agreed, statistics)
        fit_tables(pressed, self.calibration_batches())
        give_back_freed(networks=True)
        return pressed

    @property
    def objective(self) -> Objective:
        """What is to be small, or what the budget bounds."""
        return Objective.of(self.budget, self.energy)

    def target(self) -> float:
        """The price to stay below: the budget less `RESERVE`; zero for a budget of quality."""
        return self.objective.target(self.graph.sites, self.budget) * (1 - RESERVE)

    def uses(self, pressed: CompressedModel) -> dict[str, SiteUse]:
        """What each site costs, on the images that fitted the tables."""
        partners = partners_of(self.graph.sites, pressed.plan)
        return {
            site.site: use_of(
                self.graph.site(site.site),
                site,
                pressed.codecs[site.site],
                self._stored_bits(pressed, site),
                self.budget.view,
                partners=partners,
            )
            for site in pressed.plan
        }

    def price(self, pressed: CompressedModel) -> float:
        """Of the whole network, per inference."""
        table_bits = pressed.table_bits()
        uncompressed = [
            SiteUse.uncompressed(site)
            for site in self.graph.sites
            if site.name not in pressed.codecs
        ]
        uses = [*self.uses(pressed).values(), *uncompressed]
        return self.objective.total(uses, table_bits)

    def symbol_prices(self, pressed: CompressedModel) -> dict[str, float]:
        """The part of the price that training moves: that of each site's stored bits."""
        return {
            name: self.objective.stored_bit_price(use) * use.stored_bits
            for name, use in self.uses(pressed).items()
        }

    def keeps_quality(self, pressed: CompressedModel) -> bool:
        """Whether a network loses no more on held-out images than a budget of quality allows."""
        return self.held_out_loss(pressed) <= self.budget.amount + ROUNDING

    def held_out_loss(self, pressed: CompressedModel) -> float:
        """What a network loses of the task's metric on the images that decide a budget of quality.

        In points of a metric in %, else in its unit.
        """
        task = self.graph.task
        before = task.measure(self._held_out_reference.evidence)
        return task.metric.lost(before, task.measure(self._judged(pressed).evidence))

    def held_out(self, pressed: CompressedModel) -> Comparison | None:
        """Both networks on the images that decide a budget of quality; None for other budgets."""
        if not self.budget.is_quality:
            return None
        before, after = self._held_out_reference.evidence, self._judged(pressed).evidence
        return Comparison.of(self.graph.task, before, after, images=len(self._deciding()))

    def _deciding(self) -> Split:
        """The images that decide a budget of quality."""
        return self.validation().take(self.settings.holdout_images)

    @cached_property
    def _held_out_reference(self) -> Reference:
        network, task = self.graph.eval_module, self.graph.task
        deciding = self._deciding()
        return refer(network, deciding, task=task, batch=self._batch, team=self.team)

    def _judged(self, pressed: CompressedModel) -> Judged:
        reference, task, deciding = self._held_out_reference, self.graph.task, self._deciding()
        return judge(pressed, deciding, reference, task=task, batch=self._batch, team=self.team)

    def _stored_bits(self, pressed: CompressedModel, site: SitePlan) -> float:
        if self.budget.view is View.ENTROPY:
            return pressed.coded_bits[site.site]
        blocks = self.graph.site(site.site).values // site.components
        return float(pressed.codecs[site.site].fixed_bits().sum()) * blocks

    def _counted(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        for batch in batches:
            yield batch
            self.progress.advance(len(batch) * self.team.size)


@dataclass(frozen=True)
class Outcome:
    """What a method made.

    Attributes:
        pressed: the network, ready to be evaluated.
        statistics: of the float network, as the plan stores it.
        method, variant: as in `Metrics`.
        path: the greedy search up to the plan that was taken; empty for methods without one.
        search_node_evals: graph nodes that the search executed.
        search_seconds, tune_seconds: wall clock.
        search: the greedy search behind the plan, to be gone on with.
    """

    pressed: CompressedModel
    statistics: Statistics
    method: str
    variant: str = ""
    path: tuple[PathPoint, ...] = ()
    search_node_evals: int = 0
    search_seconds: float = 0.0
    tune_seconds: float = 0.0
    search: Search | None = None

"""Running the search for bit-widths: what the co-design and the layer-wise search share."""

import copy

from actpress.budget import View
from actpress.pipeline.job import Job
from actpress.pressing import CompressedModel
from actpress.tune import align_rate_model, search_widths


def rate_scales(job: Job, pressed: CompressedModel) -> dict[str, float]:
    """What a bit of every site's smooth rate costs, by what the site really costs now."""
    if job.budget.view is View.FIXED:
        sites = {name: job.graph.site(name) for name in pressed.codecs}
        return {name: job.objective.stored_bit_price(site) for name, site in sites.items()}
    aligned = copy.deepcopy(pressed)
    align_rate_model(aligned, job.rate_batches(), job.symbol_prices(pressed))
    return {name: float(codec.rate_scale) for name, codec in aligned.codecs.items()}


def symbol_target(job: Job, pressed: CompressedModel) -> float:
    """What stored bits may cost, where everything that is fetched stays as it is now."""
    fixed = job.price(pressed) - sum(job.symbol_prices(pressed).values())
    return job.target() - fixed


def train_widths(job: Job, network: CompressedModel, target: float) -> None:
    """Train widths and ranges of a network of mixtures, in place.

    Args:
        job: data and settings.
        network: of mixtures, their rates aligned to prices.
        target: what its symbols may cost.
    """
    settings = job.settings
    job.progress.start("widths", settings.widths.steps)
    search_widths(
        network,
        job.graph,
        job.data.train,
        job.validation(),
        settings.widths,
        settings.tune,
        target_bits=target,
        checkpoint=None if job.folder is None else job.folder / "widths.pt",
        team=job.team,
        on_step=lambda step: job.progress.advance(1, f"loss {step.loss:.4f}"),
    )

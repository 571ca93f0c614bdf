"""Running the search for bit-widths: what the co-design and the layer-wise search share."""

import copy

from actpress.budget import View
from actpress.methods.job import Job
from actpress.pressing import CompressedModel
from actpress.tune import align_rate_model, search_widths


def rate_scales(job: Job, pressed: CompressedModel) -> dict[str, float]:
    """What a bit of every site's smooth rate costs, by what the site really costs now."""
    if job.budget.view is View.FIXED:
        return {name: job.weight(name) for name in pressed.codecs}
    aligned = copy.deepcopy(pressed)
    align_rate_model(aligned, job.rate_batches(), job.costs(pressed))
    return {name: float(codec.rate_scale) for name, codec in aligned.codecs.items()}


def train_widths(job: Job, network: CompressedModel) -> None:
    """Train widths and ranges of a network of mixtures within the job's budget, in place."""
    settings = job.settings
    job.progress.start("widths", settings.widths.steps)
    search_widths(
        network,
        job.graph,
        job.data.train,
        job.validation(),
        settings.widths,
        settings.tune,
        target_bits=job.cost_target(),
        checkpoint=None if job.folder is None else job.folder / "widths.pt",
        on_step=lambda step: job.progress.advance(1, f"loss {step.loss:.4f}"),
    )

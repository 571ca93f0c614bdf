"""Running the search for bit-widths: what the co-design and the layer-wise search share."""

import copy

from actpress.budget import View
from actpress.methods.task import Task
from actpress.press import PressedModel
from actpress.tune import align_rate_model, search_widths


def rate_scales(task: Task, pressed: PressedModel) -> dict[str, float]:
    """What a bit of every site's smooth rate costs, by what the site really costs now."""
    if task.budget.view is View.FIXED:
        return {name: task.weight(name) for name in pressed.codecs}
    aligned = copy.deepcopy(pressed)
    align_rate_model(aligned, task.rate_batches(), task.costs(pressed))
    return {name: float(codec.rate_scale) for name, codec in aligned.codecs.items()}


def train_widths(task: Task, network: PressedModel) -> None:
    """Train widths and ranges of a network of mixtures within the task's budget, in place."""
    settings = task.settings
    task.progress.start("widths", settings.widths.steps)
    search_widths(
        network,
        task.graph,
        task.data.train,
        task.validation(),
        settings.widths,
        settings.tune,
        target_bits=task.cost_target(),
        checkpoint=None if task.folder is None else task.folder / "widths.pt",
        on_step=lambda step: task.progress.advance(1, f"loss {step.loss:.4f}"),
    )

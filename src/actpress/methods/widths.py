"""Running the search for bit-widths: what the co-design and the layer-wise search share."""

from actpress.methods.task import Task
from actpress.press import PressedModel
from actpress.tune import search_widths


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

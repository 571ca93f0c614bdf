"""Entropy-regularised training, after CAT (Baskin et al. 2019, arXiv 1909.11481).

Steps of 8-bit activations, and the network if asked, are trained on the loss and the entropy.
"""

from actpress.errors import BudgetError
from actpress.methods.lsq import train_steps
from actpress.methods.scaling import scale_steps
from actpress.methods.task import Outcome, Task
from actpress.methods.uniform import covering_step, refuse_accuracy, uniform_plan
from actpress.plan import Placement, Plan
from actpress.press import PressedModel

BIT_WIDTH = 8


def entropy_training(task: Task) -> Outcome:
    """Coarsen the steps of all sites alike until the budget is met, then train them within it.

    Raises:
        BudgetError: an accuracy budget, or one that the training does not meet.
    """
    refuse_accuracy(task, "entropy_training")
    statistics = task.calibrate(Placement.POST_ACT)
    steps = {name: covering_step(own, BIT_WIDTH) for name, own in statistics.sites.items()}
    fine = uniform_plan(task, steps, BIT_WIDTH)

    def press_at(octaves: float) -> PressedModel:
        return task.press(_coarsened(fine, octaves), statistics)

    start = scale_steps(
        press_at, lambda pressed: task.cost(pressed) / task.cost_target() - 1, finest=0.0
    )
    if start.excess > 0:
        raise BudgetError(
            f"steps as coarse as they may be exceed the budget {task.budget} by "
            f"{100 * start.excess:.1f} %: code tables have a floor; ask for more"
        )
    return train_steps(
        task, start.pressed.plan, statistics, hold_bits=True, method="entropy_training"
    )


def _coarsened(plan: Plan, octaves: float) -> Plan:
    sites = tuple(site.model_copy(update={"step": site.step * 2**octaves}) for site in plan.sites)
    return plan.model_copy(update={"sites": sites})

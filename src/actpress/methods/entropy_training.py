"""Entropy-regularised training, after CAT (Baskin et al. 2019, arXiv 1909.11481).

Steps of 8-bit activations, and the network if asked, are trained on the loss and the entropy.
"""

from actpress.methods.lsq import train_steps
from actpress.methods.task import Outcome, Task
from actpress.methods.uniform import refuse_accuracy, uniform_plan
from actpress.plan import Placement, Plan

ATTEMPTS = 12
OCTAVES_PER_BIT = 1.0
BIT_WIDTH = 8


def entropy_training(task: Task) -> Outcome:
    """Coarsen the steps of all sites alike until the budget is met, then train them within it.

    Raises:
        BudgetError: an accuracy budget, or one that the training does not meet.
    """
    refuse_accuracy(task, "entropy_training")
    statistics = task.calibrate(Placement.POST_ACT)
    fine = uniform_plan(task, statistics, {site.name: BIT_WIDTH for site in task.graph.sites})
    octaves, plan = 0.0, fine
    for _ in range(ATTEMPTS):
        plan = _coarsened(fine, octaves)
        pressed = task.press(plan, statistics)
        values = sum(site.values * task.weight(site.name) for site in task.graph.sites)
        excess_bits = (task.cost(pressed) - task.cost_target()) / values
        if -0.02 <= excess_bits <= 0:
            break
        octaves += OCTAVES_PER_BIT * (excess_bits + 0.01)
    return train_steps(task, plan, statistics, hold_bits=True, method="entropy_training")


def _coarsened(plan: Plan, octaves: float) -> Plan:
    sites = tuple(site.model_copy(update={"step": site.step * 2**octaves}) for site in plan.sites)
    return plan.model_copy(update={"sites": sites})

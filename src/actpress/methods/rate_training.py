"""Entropy-regularised training, after CAT (Baskin et al. 2019, arXiv 1909.11481).

Steps of 8-bit activations, and the network if asked, are trained on the loss and the entropy.
"""

from actpress.methods.fixed_width import refuse_accuracy, uniform_plan
from actpress.methods.learned_steps import train_steps
from actpress.pipeline.job import Job, Outcome
from actpress.plan import Placement
from actpress.pressing import covering_step

BIT_WIDTH = 8


def entropy_training(job: Job) -> Outcome:
    """Coarsen the steps of all sites alike until the budget is met, then train them within it.

    Raises:
        BudgetError: an accuracy budget, or one that the training does not meet.
    """
    refuse_accuracy(job, "entropy_training")
    statistics = job.calibrate(Placement.POST_ACT)
    steps = {name: covering_step(own, BIT_WIDTH) for name, own in statistics.sites.items()}
    plan = uniform_plan(job, steps, BIT_WIDTH)
    return train_steps(job, plan, statistics, hold_bits=True, method="entropy_training")

"""A plan that the user gives is pressed as it is: no search, no training."""

from actpress.pipeline.job import Job, Outcome
from actpress.plan import Plan

VARIANT = "given plan"


def given(job: Job, plan: Plan) -> Outcome:
    """Calibrate what a plan stores, press it, and fit its tables.

    Raises:
        PlanError: the plan does not fit the network; names the site.
    """
    statistics = job.observe_plan(plan)
    return Outcome(job.press(plan, statistics), statistics, plan.method, VARIANT)

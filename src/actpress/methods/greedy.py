"""GDR and CAP: greedy dimension reduction, then a learned projection (arXiv 2110.08828).

What the paper states and what is our choice: docs/methods.md.
"""

from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.learn import learn, untrained
from actpress.pipeline.record import SearchRecord, finished_search, keep_search
from actpress.pipeline.select import select


def gdr(job: Job) -> Outcome:
    """Choose transforms, ranks and steps greedily; no training.

    A finished search is carried along with the job, and kept in its folder if it has one: neither
    another method that begins with it nor a resumed job searches again.
    """
    record = finished_search(job, "gdr")
    if record is not None:
        statistics = job.observe_plan(record.plan)
        return record.outcome(job.press(record.plan, statistics), statistics)
    outcome = select(job, method="gdr")
    keep_search(job, SearchRecord.of(job, outcome))
    return outcome


def cap(job: Job) -> Outcome:
    """GDR's plan with learned projections and steps, trained within the same budget.

    Training follows the float network's predictions, not the labels. Where that costs more accuracy
    than the budget allows, GDR's plan is handed back as it was, with the variant `untrained`.
    """
    start = gdr(job)
    tuned = learn(job, start)
    if not job.budget.is_quality:
        return tuned
    if job.keeps_quality(tuned.pressed):
        return tuned
    return untrained(start, "cap", tuned.tune_seconds)

"""GDR and CAP: greedy dimension reduction, then a learned projection (arXiv 2110.08828).

What the paper states and what is our choice: docs/methods.md.
"""

from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.learn import learn, untrained
from actpress.pipeline.record import SearchRecord, read_record, write_record
from actpress.pipeline.select import select


def gdr(job: Job) -> Outcome:
    """Choose transforms, ranks and steps greedily; no training.

    With a folder, the finished search is kept there and a resumed job does not search again.
    """
    record = None if job.folder is None else read_record(job.folder, job)
    if record is not None:
        statistics = job.observe_plan(record.plan)
        return record.outcome(job.press(record.plan, statistics), statistics)
    outcome = select(job, method="gdr")
    if job.folder is not None:
        write_record(job.folder, SearchRecord.of(job, outcome))
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

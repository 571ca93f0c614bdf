"""GDR and CAP: greedy dimension reduction, then a learned projection (arXiv 2110.08828).

What the paper states and what is our choice: docs/methods.md.
"""

from actpress.allocate import GreedySearch, Move, search
from actpress.budget import BudgetKind
from actpress.calibration import Statistics
from actpress.methods.job import Job, Outcome
from actpress.methods.learning import learn, untrained
from actpress.methods.record import SearchRecord, read_record, write_record
from actpress.methods.selection import take_from
from actpress.plan import Placement


def gdr(job: Job) -> Outcome:
    """Choose ranks and steps greedily, compress with PCA; no training.

    With a folder, the finished search is kept there and a resumed job does not search again.
    """
    statistics = job.calibrate_with_fisher(Placement.PRE_ACT)
    record = None if job.folder is None else read_record(job.folder, job)
    if record is not None:
        return record.outcome(job.press(record.plan, statistics), statistics)
    outcome = take_from(job, statistics, run_search(job, statistics))
    if job.folder is not None:
        write_record(job.folder, SearchRecord.of(job, outcome))
    return outcome


def cap(job: Job) -> Outcome:
    """GDR's plan with learned projections, trained within the same budget.

    Training follows the float network's predictions, not the labels. Where that costs more accuracy
    than the budget allows, GDR's plan is handed back as it was, with the variant `untrained`.
    """
    start = gdr(job)
    tuned = learn(job, start)
    if job.budget.kind is not BudgetKind.ACCURACY_DROP:
        return tuned
    if job.held_out_accuracy(tuned.pressed) >= job.accuracy_floor():
        return tuned
    return untrained(start, "cap", tuned.tune_seconds)


def run_search(job: Job, statistics: Statistics) -> GreedySearch:
    """The greedy path that reaches the job's budget."""
    images = job.search_images()
    done = 0.0

    def on_move(move: Move, target: float) -> None:
        nonlocal done
        share = min(target / move.cost, 1.0) if target else 1 - move.outcome.agreement
        job.progress.advance(100 * share - done, f"loss {move.outcome.loss:.4f}")
        done = 100 * share

    job.progress.start("search", 100)
    return search(job.graph, statistics, images, job.budget, job.settings.search, on_move=on_move)

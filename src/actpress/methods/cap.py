"""GDR and CAP: greedy dimension reduction, then a learned projection (arXiv 2110.08828).

What the paper states and what is our choice: docs/methods.md.
"""

from actpress.allocate import GreedySearch, Move, search
from actpress.budget import BudgetKind
from actpress.calibrate import Statistics
from actpress.methods.learning import learn, untrained
from actpress.methods.record import SearchRecord, read_record, write_record
from actpress.methods.selection import take_from
from actpress.methods.task import Outcome, Task
from actpress.plan import Placement


def gdr(task: Task) -> Outcome:
    """Choose ranks and steps greedily, compress with PCA; no training.

    With a folder, the finished search is kept there and a resumed task does not search again.
    """
    statistics = task.calibrate_with_fisher(Placement.PRE_ACT)
    record = None if task.folder is None else read_record(task.folder, task)
    if record is not None:
        return record.outcome(task.press(record.plan, statistics), statistics)
    outcome = take_from(task, statistics, run_search(task, statistics))
    if task.folder is not None:
        write_record(task.folder, SearchRecord.of(task, outcome))
    return outcome


def cap(task: Task) -> Outcome:
    """GDR's plan with learned projections, trained within the same budget.

    Training follows the float network's predictions, not the labels. Where that costs more accuracy
    than the budget allows, GDR's plan is handed back as it was, with the variant `untrained`.
    """
    start = gdr(task)
    tuned = learn(task, start)
    if task.budget.kind is not BudgetKind.ACCURACY_DROP:
        return tuned
    if task.held_out_accuracy(tuned.pressed) >= task.accuracy_floor():
        return tuned
    return untrained(start, "cap", tuned.tune_seconds)


def run_search(task: Task, statistics: Statistics) -> GreedySearch:
    """The greedy path that reaches the task's budget."""
    images = task.search_images()
    done = 0.0

    def on_move(move: Move, target: float) -> None:
        nonlocal done
        share = min(target / move.cost, 1.0) if target else 1 - move.outcome.agreement
        task.progress.advance(100 * share - done, f"loss {move.outcome.loss:.4f}")
        done = 100 * share

    task.progress.start("search", 100)
    return search(
        task.graph, statistics, images, task.budget, task.settings.search, on_move=on_move
    )

"""Two processes against one, each with one thread (`make bench-processes`).

Steps of training of a bundled network per second, in turn with one process and with two, on the
same batches of 32 images. Writes `benchmarks/results/processes.json` and docs/results-processes.md;
`--page` only writes the page anew.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.page import TARGETS, TITLES, Target, table, target_line, target_of, write_results
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/processes.json")
PAGE = Path("docs/results-processes.md")
NETWORKS = ("resnet18",)
ROUNDS = 3
WANTED = 1.7

INTRODUCTION = (
    "Written by `make bench-processes` from `benchmarks/results/processes.json`; do not edit by "
    "hand. Training of a bundled network with learned projections, 20 steps on batches of 32 "
    "images after 3 that are not counted, with one process and with two in turn, each with one "
    "thread, on a machine with two cores; a median of the rounds. *Clock* is that of the wall, on "
    "a machine that does other work too, so that two processes wait for whichever is held up. "
    "*Processor* compares the seconds that the busiest process computes, its part of exchanging "
    "gradients included: what two free cores would give, less the waiting. Statistics are compared "
    "to the bit in every round; that two processes choose the plan of one, byte for byte, is "
    "tested (tests/integration/test_processes.py).\n"
)


def measure(network: str) -> Row:
    """Both in turn, so that what else the machine does meets both alike."""
    rounds = [(_child(network, 1), _child(network, 2)) for _ in range(ROUNDS)]
    return {
        "network": network,
        "clock_ratio": _ratio(rounds, "seconds"),
        "processor_ratio": _ratio(rounds, "busiest_processor_s"),
        "statistics_equal": all(two["statistics_equal"] for _, two in rounds),
        "runs": rounds,
        "environment": environment(),
    }


def _ratio(rounds: Sequence[tuple[Row, Row]], key: str) -> float:
    return float(median(one[key] / two[key] for one, two in rounds))


def _child(network: str, processes: int) -> Row:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "benchmarks.processes_child", network]
    done = subprocess.run(  # noqa: S603 - our own program
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: Row = json.loads(done.stdout)
    return row


def judged(rows: Sequence[Row]) -> Iterator[Target]:
    """What was asked of two processes."""
    for row in rows:
        name = TITLES[row["network"]]
        yield target_of(
            f"{name}: steps of training a second, two processes against one",
            f"at least {WANTED}x",
            f"{row['clock_ratio']:.2f}x by the clock, {row['processor_ratio']:.2f}x by processor",
            met=row["clock_ratio"] >= WANTED,
        )
        yield target_of(
            f"{name}: statistics of two processes against one",
            "equal",
            "equal to the bit" if row["statistics_equal"] else "different",
            met=row["statistics_equal"],
        )


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    runs = [
        (
            TITLES[row["network"]],
            *(f"{each['steps'] / each['seconds']:.2f}" for each in pair),
            f"{pair[0]['seconds'] / pair[1]['seconds']:.2f}x",
            f"{pair[0]['busiest_processor_s'] / pair[1]['busiest_processor_s']:.2f}x",
            row["environment"]["commit"],
        )
        for row in rows
        for pair in row["runs"]
    ]
    columns = ("network", "steps/s, one", "two", "clock", "processor", "commit")
    lines = [target_line(**target) for target in judged(rows)]
    return "\n".join(
        [
            "# Several processes\n",
            INTRODUCTION,
            "\n".join([TARGETS, *lines]) + "\n",
            "## Rounds\n",
            table(columns, runs),
        ]
    )


def main() -> None:
    """Measure, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true")
    if parser.parse_args().page:
        rows = json.loads(RESULTS.read_text())["rows"]
    else:
        rows = [measure(network) for network in NETWORKS]
    write_results(rows, list(judged(rows)), RESULTS)
    PAGE.write_text(page(rows))


if __name__ == "__main__":
    main()

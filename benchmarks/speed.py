"""Speed against an earlier build, side by side (`make bench-speed EARLIER=/tmp/earlier`).

    git worktree add /tmp/earlier aab34da
    python -m benchmarks.speed /tmp/earlier

Both builds run `benchmarks/speed_child.py` in processes of their own, one thread each, in turn;
ratios are medians of what was taken side by side. Rows go one by one into
`benchmarks/results/speed.json`; those that are there are not measured again unless `--again` is
given; `--only` begins the names of those that are wanted. Whole searches of the earlier build,
which take minutes and do not change, are kept in `benchmarks/results/speed_earlier.json`;
`--earlier` makes them and nothing else. `--page` only writes the page anew, docs/results-speed.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Self

from benchmarks.packing import measure_packing
from benchmarks.speed_page import RESULTS, write_page
from benchmarks.store import Row, environment

HERE = Path(__file__).resolve().parent.parent
CHILD = HERE / "benchmarks" / "speed_child.py"
KEPT = HERE / "benchmarks" / "results" / "speed_earlier.json"
MODELS = ("resnet18", "mobilenet_v2")
VIEWS = ("entropy", "fixed")
START_ROUNDS, ROUNDS, EVALUATIONS, SEARCHES, LARGE_SEARCHES = 7, 3, 1, 1, 1
PATIENCE_S = 3600
TORCH = ("-c", "import torch")
STARTS = {
    "help": ("-m", "actpress", "--help"),
    "version": ("-m", "actpress", "--version"),
    "argument error": ("-m", "actpress", "compress", "--budget", "8y"),
    "import actpress": ("-c", "import actpress"),
    "from actpress import compress": ("-c", "from actpress import compress"),
}
LARGE_FACTS = {"whole": "whole_s", "peak": "peak_mib", "evaluation": "evaluation_s"}
Rows = list[Row]


class Child:
    """One work of `speed_child.py` in a build, waiting to be told to run its parts."""

    def __init__(self, build: Path, *words: str) -> None:
        command = [sys.executable, str(CHILD), *words]
        self.process = subprocess.Popen(  # noqa: S603 - a script of this folder
            command, env=variables(build), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._answer()

    def run(self) -> Row:
        """Seconds of each part, once."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Row:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            message = f"{CHILD.name} ended before its time, status {self.process.wait()}"
            raise RuntimeError(message)
        answer: Row = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=PATIENCE_S)


def variables(build: Path) -> dict[str, str]:
    """Environment in which a process runs a build on one thread.

    Bytecode is kept from one process to the next, as that of an installed package is.
    """
    own = {
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "PYTHONPATH": f"{build / 'src'}:{build}",
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "actpress-bench-bytecode"),
    }
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | own


def in_turn(builds: Sequence[Path], *words: str) -> tuple[list[Row], list[Rows]]:
    """What each build told, and seconds of its parts in every round."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child(build, *words)) for build in builds]
        for child in children:  # compiles and warms up
            child.run()
        rounds = [[child.run() for child in children] for _ in range(ROUNDS)]
    return [child.facts for child in children], rounds


def row(what: str, pairs: Iterable[tuple[float, float]], **more: object) -> Row:
    """The median of the first over the second."""
    pairs = list(pairs)
    ratio = statistics.median(first / second for first, second in pairs)
    found = {"what": what, "ratio": ratio, "runs": pairs, "commit": environment()["commit"]}
    return found | more


def starts(earlier: Path) -> Rows:
    """Commands that need no torch, against `import torch`, by the clock on the wall."""
    rows = []
    for name, command in STARTS.items():
        for build in (HERE, earlier):  # compiles to bytecode
            wall_s(build, command)
        runs = [
            (wall_s(HERE, command), wall_s(earlier, command), wall_s(HERE, TORCH))
            for _ in range(START_ROUNDS)
        ]
        before = statistics.median(old / torch for _, old, torch in runs)
        pairs = ((new, torch) for new, _, torch in runs)
        rows.append(row(f"{name} / import torch", pairs, earlier=before))
    return rows


def wall_s(build: Path, command: Sequence[str]) -> float:
    """Seconds of a command that may end with an error."""
    began = time.perf_counter()
    subprocess.run(  # noqa: S603 - fixed arguments
        [sys.executable, *command], env=variables(build), capture_output=True, check=False
    )
    return time.perf_counter() - began


def coder(earlier: Path, model: str) -> Rows:
    """Speed of encoding and decoding in context."""
    facts, rounds = in_turn((earlier, HERE), "coder", model)
    rows = []
    for part in ("encode", "decode"):
        pairs = [(old[part], new[part]) for old, new in rounds]
        speeds = [
            fact["symbols"] / statistics.median(times) / 1e6
            for fact, times in zip(facts, zip(*pairs, strict=True), strict=True)
        ]
        rows.append(row(f"{part} in context, {model}", pairs, msymbols_per_s=speeds))
    return rows


def counting(earlier: Path, model: str) -> Rows:
    """Speed of counting symbols in contexts, and what it is of that of a copy."""
    facts, rounds = in_turn((earlier, HERE), "counting", model)
    pairs = [(old["count"], new["count"]) for old, new in rounds]
    speeds = [
        fact["symbols"] / statistics.median(times) / 1e6
        for fact, times in zip(facts, zip(*pairs, strict=True), strict=True)
    ]
    return [
        row(f"count in contexts, {model}", pairs, msymbols_per_s=speeds),
        _share(rounds, ("count", "copy"), f"count in contexts / copy_, {model}"),
    ]


def constriction(_earlier: Path, model: str) -> Rows:
    """Decoding without contexts against constriction."""
    _, rounds = in_turn((HERE,), "without_contexts", model)
    pairs = [(own["constriction"], own["decode"]) for (own,) in rounds]
    return [row(f"decode without contexts against constriction, {model}", pairs)]


def unpacking(_earlier: Path) -> Rows:
    """The width that is slowest to unpack, against `copy_`."""
    widths = measure_packing()["widths"]
    slowest = min(widths, key=lambda width: widths[width]["unpack_against_copy"])
    found = widths[slowest]
    pair = (found["unpack_gb_per_s"], found["copy_gb_per_s"])
    return [
        row("unpack against copy_, slowest width", [pair], width=int(slowest))
        | {"ratio": found["unpack_against_copy"]}
    ]


def tuning(earlier: Path, model: str) -> Rows:
    """A tuning step over a float training step, in the first epoch and in others."""
    whats = {
        "first": f"tuning step / float step, {model}",
        "later": f"tuning step after the first epoch / float step, {model}",
    }
    _, rounds = in_turn((earlier, HERE), "tuning", model)
    return [_share(rounds, (part, "float"), what) for part, what in whats.items()]


def real_bytes(earlier: Path, model: str) -> Rows:
    """Evaluation with real bytes at every site over that without."""
    what = f"evaluation with real bytes / without, {model}"
    return _within(earlier, "real_bytes", ("bytes", "plain"), what)


def _within(earlier: Path, work: str, parts: tuple[str, str], what: str) -> Rows:
    """Two parts of the present build against each other."""
    _, rounds = in_turn((earlier, HERE), work, what.rpartition(" ")[2])
    return [_share(rounds, parts, what)]


def _share(rounds: list[Rows], parts: tuple[str, str], what: str) -> Row:
    """One part over another in the present build, and in the earlier one."""
    first, second = parts
    before = statistics.median(old[first] / old[second] for old, _ in rounds)
    return row(what, ((new[first], new[second]) for _, new in rounds), earlier=before)


def evaluated(earlier: Path) -> Rows:
    """The first evaluation of a process at 3x224x224, against before and a forward pass."""
    runs = [searched(earlier, "evaluated") for _ in range(EVALUATIONS)]
    what = "224, evaluation, without a search"
    before = statistics.median(old["evaluation_s"] / old["forward_s"] for old, _ in runs)
    return [
        row(what, ((new["evaluation_s"], old["evaluation_s"]) for old, new in runs)),
        row(
            "224, evaluation / forward, without a search",
            ((new["evaluation_s"], new["forward_s"]) for _, new in runs),
            earlier=before,
        ),
    ]


def gdr(earlier: Path, model: str, view: str) -> Rows:
    """`gdr` on a bundled network, from the start of the process to the last figure."""
    runs = [searched(earlier, "gdr", model, view) for _ in range(SEARCHES)]
    pairs = ((new["whole_s"], old["whole_s"]) for old, new in runs)
    return [row(f"gdr, {model}, {view}", pairs, stages=runs[-1])]


def large(earlier: Path, view: str) -> Rows:
    """The same on ResNet18 at 3x224x224, its memory, and its evaluation."""
    runs = [searched(earlier, "large", view) for _ in range(LARGE_SEARCHES)]
    rows = []
    for what, fact in LARGE_FACTS.items():
        pairs = ((new[fact], old[fact]) for old, new in runs)
        rows.append(row(f"224, {what}, {view}", pairs, stages=runs[-1]))
    pairs = ((new["evaluation_s"], new["forward_s"]) for _, new in runs)
    gib = ((new["peak_mib"], 1024.0) for _, new in runs)
    rows.append(row(f"224, evaluation / forward, {view}", pairs))
    return [*rows, row(f"224, peak / 1 GiB, {view}", gib)]


def searched(earlier: Path, *words: str) -> tuple[Row, Row]:
    """What both builds tell of a search."""
    before = kept(earlier, *words)
    with Child(HERE, *words) as child:
        return before, child.facts


def kept(earlier: Path, *words: str) -> Row:
    """What the earlier build tells of a search, which is made once."""
    known: dict[str, Row] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    name = " ".join(words)
    if name not in known:
        with Child(earlier, *words) as child:
            known[name] = child.facts
        KEPT.write_text(json.dumps(known, indent=1) + "\n")
    return known[name]


def make_kept(earlier: Path) -> None:
    """Make all searches of the earlier build that are not kept yet."""
    for words in [*product(("large",), VIEWS), *product(("gdr",), MODELS, VIEWS)]:
        print(*words, kept(earlier, *words), flush=True)


def groups() -> Iterator[tuple[str, Callable[[Path], Rows]]]:
    """What is measured and written at once, the quickest first."""
    yield "starts", starts
    yield "evaluated", evaluated
    for model in MODELS:
        for work in (coder, counting, tuning, real_bytes, constriction):
            yield f"{work.__name__} {model}", partial(work, model=model)
    yield "unpacking", unpacking
    for view in VIEWS:
        yield f"large {view}", partial(large, view=view)
    for model, view in product(MODELS, VIEWS):
        yield f"gdr {model} {view}", partial(gdr, model=model, view=view)


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("earlier", type=Path, nargs="?", help="checkout of the earlier build")
    parser.add_argument("--only", default="", help="groups whose names begin so")
    parser.add_argument("--again", action="store_true", help="measure these anew")
    parser.add_argument("--earlier", action="store_true", dest="only_earlier", help="see above")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    rows: Rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    if options.earlier is None and not options.page:
        parser.error("name a checkout of the earlier build: git worktree add /tmp/earlier aab34da")
    if options.only_earlier:
        make_kept(options.earlier.resolve())
        return
    wanted = [(name, work) for name, work in groups() if name.startswith(options.only)]
    for name, measure in () if options.page else wanted:
        if options.again or not any(row["group"] == name for row in rows):
            found = [row | {"group": name} for row in measure(options.earlier.resolve())]
            for one in found:
                print(one["what"], f"{one['ratio']:.3f}", flush=True)
            rows = [row for row in rows if row["group"] != name] + found
            write_page(rows)
    write_page(rows)


if __name__ == "__main__":
    main()

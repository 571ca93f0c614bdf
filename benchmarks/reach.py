"""`make reach`: which networks of other people's libraries are captured, and equal to the bit.

Every network has a process of its own with a limit of time, and a row in the results as soon as it
is done; a run that was stopped goes on from there.
"""

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from actpress.api import compress
from actpress.budget import Budget
from actpress.data.dataset import Dataset, MemoryImages, Split
from actpress.errors import ActpressError, ModelError
from actpress.graph import Graph, capture, default_placement, insert_codecs
from actpress.methods import Settings
from actpress.tasks import Custom, Metric, Unlabelled
from benchmarks.memory import peak_memory_mib, reset_peak_memory
from benchmarks.reach_networks import Network, all_networks
from benchmarks.reach_page import read_rows, write_page
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/reach.json")
LIMIT_S = 300
"""Seconds for one network."""

FORKED = multiprocessing.get_context("fork")
Measure = Callable[[Network], Row]
SMALL = Settings(calibration_images=16, search_images=4, decoder_images=8, holdout_images=4)
MANY = 100_000
"""Images of a batch that shares what is fetched of codecs: small inputs store little."""
EXAMPLE, IMAGES = 2, 3
"""Images of the example, and of the comparison with the network itself."""


class _Identity(nn.Module):
    """A codec that changes nothing."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


def main() -> None:
    """Measure what has no row yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="measure networks whose name or source holds this")
    parser.add_argument(
        "--compress", help="compress those of these names too, patterns as timm:* between commas"
    )
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for one network")
    arguments = parser.parse_args()
    for network in all_networks():
        known = any(row["network"] == network.name for row in read_rows(RESULTS))
        if known or (arguments.only or "") not in f"{network.name} {network.source}":
            continue
        row = in_a_process(network, measured, arguments.limit)
        print(row["network"], row["captured"], row["identical"], row["refused"] or "", flush=True)
        write_page([*read_rows(RESULTS), row], RESULTS)
    compress_named((arguments.compress or "").split(","), arguments.limit)


def compress_named(patterns: Sequence[str], limit_s: float) -> None:
    """Add to the rows of these networks whether they can be compressed, where that is not known.

    Those that took little memory to capture come first. One that is not done in time is tried again
    with more.
    """
    networks = {network.name: network for network in all_networks()}
    rows = [row for row in read_rows(RESULTS) if row["captured"] and row["compressed"] is None]
    for row in sorted(rows, key=lambda row: row["peak_mib"] or 0):
        name = row["network"]
        wanted = any(fnmatchcase(name, pattern) for pattern in patterns)
        if not wanted or name not in networks or (row.get("unfinished_s") or 0) >= limit_s:
            continue
        found = in_a_process(networks[name], compressed, limit_s)
        verdict = _verdict_of(found, limit_s)
        print(name, *verdict.values(), flush=True)
        kept = [{**r, **verdict} if r["network"] == name else r for r in read_rows(RESULTS)]
        write_page(kept, RESULTS)


def _verdict_of(found: Row, limit_s: float) -> Row:
    """What a row says of a network that was compressed, refused, or not done in time."""
    commit = found["environment"]["commit"]
    if found["refused"] == unfinished(limit_s):
        return {"unfinished_s": limit_s, "compress_commit": commit}
    verdict = {"compressed": found["compressed"] is True, "refused": found["refused"]}
    return {**verdict, "compress_s": found["seconds"], "compress_commit": commit}


def in_a_process(network: Network, measure: Measure, limit_s: float) -> Row:
    """The row of a network; one that was not finished says why.

    Processes are forked, so that libraries are imported once.
    """
    network.load_library()
    here, there = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_send, args=(there, network, measure))
    process.start()
    there.close()
    try:
        row: Row = here.recv() if here.poll(limit_s) else {}
    except EOFError:
        process.join()
        return _row(network, refused=f"the process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
    return row or _row(network, refused=unfinished(limit_s))


def unfinished(limit_s: float) -> str:
    """What a row says of a network that took too long."""
    return f"not done after {limit_s:g} s"


def _send(connection: Connection, network: Network, measure: Measure) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    connection.send(measure(network))


def measured(network: Network) -> Row:
    """Capture a network, and compare it with its capture, codecs that change nothing included."""
    model = network.build().eval()
    reset_peak_memory()
    begun = time.process_time()
    try:
        graph = capture(model, torch.randn(EXAMPLE, *network.shape), how=network.how)
    except ModelError as error:
        return _row(network, refused=str(error), seconds=time.process_time() - begun)
    seconds = time.process_time() - begun
    return _row(
        network,
        captured=str(graph.captured),
        sites=len(graph.sites),
        seconds=seconds,
        identical=is_identical(model, graph, torch.randn(IMAGES, *network.shape)),
    )


def compressed(network: Network) -> Row:
    """Compress a network with the greedy search, by what it gives for random images."""

    def split(images: int) -> Split:
        x = torch.randn(images, *network.shape)
        return Split.unlabelled(MemoryImages(x, lambda rows: rows))

    nothing = Metric("nothing", "", higher_is_better=True)
    task = Unlabelled(Custom(lambda outputs, targets: 0.0, nothing))
    data = Dataset("random", split(16), split(8), split(4), 0, task)
    budget = Budget.parse("4bits", batch=MANY)
    begun = time.process_time()
    try:
        compress(
            network.build().eval(),
            data,
            method="gdr",
            budget=budget,
            settings=SMALL,
            capture=network.how,
        )
    except ActpressError as error:
        return _row(network, compressed=False, refused=str(error))
    return _row(network, compressed=True, seconds=time.process_time() - begun)


@torch.no_grad()
def is_identical(model: nn.Module, graph: Graph, x: Tensor) -> bool:
    """Whether a network and its capture give the same bits with identity codecs at all sites."""
    codecs = {site.name: _Identity() for site in graph.sites}
    places = {site.name: default_placement(site) for site in graph.sites}
    output, _ = insert_codecs(graph, codecs, places)(x.clone())
    own, ours = (pytree.tree_leaves(each) for each in (model(x.clone()), output))
    return len(own) == len(ours) and all(map(_same, own, ours))


def _same(x: object, y: object) -> bool:
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return type(x) is type(y) and x == y
    equal = x.shape == y.shape and x.dtype is y.dtype
    return equal and bool(((x == y) | ((x != x) & (y != y))).all())  # noqa: PLR0124 - NaN


def _row(network: Network, **found: Any) -> Row:
    row = {
        "network": network.name,
        "source": network.source,
        "input": "x".join(map(str, network.shape)),
        "captured": None,
        "identical": None,
        "compressed": None,
        "sites": None,
        "seconds": None,
        "refused": None,
        **found,
        "peak_mib": peak_memory_mib(),
        "environment": environment(),
    }
    return row if row["captured"] or row["seconds"] else {**row, "peak_mib": None}


if __name__ == "__main__":
    main()

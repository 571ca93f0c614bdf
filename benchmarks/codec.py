"""Real bytes: length against the entropy view and other coders, speed of coder and bit packing.

    python -m benchmarks.codec [--models resnet18 ...] [--parts packing sizes rans]

Writes `benchmarks/results/codec.json`, a row per part and network, and `docs/results-codec.md`.
Plans come from transform coding at one signal to noise ratio, so that no search is needed; ratios
are taken side by side in one process, medians of several rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import constriction
import numpy as np
import torch
from numpy.typing import NDArray

from actpress.bitstream import RansCoder
from actpress.codec import Histogram, SiteCodec, fit_network_tables
from actpress.data import Dataset
from actpress.evaluation import RunInfo, evaluate, predict
from actpress.graph import Graph
from actpress.kernels import as_planes
from actpress.pressing import CompressedModel
from actpress.stream import through_bytes
from benchmarks.codec_page import write_page
from benchmarks.codec_sites import VARIANT, Coded, Symbols
from benchmarks.codec_sizes import measure_sizes
from benchmarks.packing import measure_packing
from benchmarks.store import Row, Store

RESULTS = Path("benchmarks/results/codec.json")
MODELS = ("resnet18", "vgg16_bn", "mobilenet_v2")
IMAGES = {1: 100, 64: 512}
ROUNDS = 7
THREADS = (1, 2)
PARTS = ("packing", "sizes", "rans")


def measure_coder(name: str, coded: Coded) -> Row:
    """Length and speed of the entropy coder on one network."""
    row: Row = {"model": name, "method": "rans", "variant": VARIANT, "seed": 0}
    pressed, graph, data = coded.pressed, coded.graph, coded.data
    row |= _lengths(pressed, graph, data) | _speed(coded)
    return row | {"evaluate_slowdown": {str(n): _slowdown(pressed, data, n) for n in THREADS}}


def _lengths(pressed: CompressedModel, graph: Graph, data: Dataset) -> Row:
    row: Row = {}
    for batch, images in IMAGES.items():
        test = data.test.take(images)
        metrics = evaluate(pressed, graph, test, RunInfo(), measured=True, batch=batch)
        assert metrics.measured is not None
        row[f"batch{batch}"] = {
            "images": images,
            "bits_per_value": metrics.bits_per_value.entropy,
            "measured_bits_per_value": metrics.measured.bits_per_value,
            "excess": metrics.measured.excess_over_entropy,
        }
    return row


def _speed(coded: Coded) -> Row:
    """Both coders on the symbols of all sites, one thread, the median over rounds."""
    sites = [CodedSite(codec, q) for codec, q in coded.symbols()]
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for label, part in (
            ("encode", CodedSite.encode),
            ("decode", CodedSite.decode),
            ("context_encode", CodedSite.context_encode),
            ("context_decode", CodedSite.context_decode),
            ("oracle_encode", CodedSite.oracle_encode),
            ("oracle_decode", CodedSite.oracle_decode),
        ):
            began = time.perf_counter()
            for site in sites:
                part(site)
            seconds.setdefault(label, []).append(time.perf_counter() - began)
    symbols = sum(site.q.size for site in sites)
    median = {label: statistics.median(times) for label, times in seconds.items()}
    ours, in_context = (
        sum(len(payload) for payload in payloads)
        for payloads in zip(*((site.payload, site.context_payload) for site in sites), strict=True)
    )
    theirs = sum(site.oracle_bytes() for site in sites)
    return {
        "symbols": symbols,
        "encode_msymbols_per_s": symbols / median["encode"] / 1e6,
        "decode_msymbols_per_s": symbols / median["decode"] / 1e6,
        "encode_against_constriction": median["oracle_encode"] / median["encode"],
        "decode_against_constriction": median["oracle_decode"] / median["decode"],
        "size_against_constriction": ours / theirs,
        "context_encode_msymbols_per_s": symbols / median["context_encode"] / 1e6,
        "context_decode_msymbols_per_s": symbols / median["context_decode"] / 1e6,
        "context_encode_against_constriction": median["oracle_encode"] / median["context_encode"],
        "context_decode_against_constriction": median["oracle_decode"] / median["context_decode"],
        "context_size_against_constriction": in_context / theirs,
    }


class CodedSite:
    """The symbols of one site: our coder without contexts, constriction's, and the codec's own.

    The first two code with the distribution of each component among these symbols: constriction
    with one model per component, ours with tables that components share.
    """

    def __init__(self, codec: SiteCodec, q: Symbols) -> None:
        self.q, self.out = q, np.empty_like(q)
        counts = np.stack(
            [
                np.bincount(column, minlength=int(q.max() - q.min()) + 1)
                for column in self._columns(q)
            ]
        )
        histogram = Histogram(torch.from_numpy(counts)[:, None], int(q.min()))
        fitted = fit_network_tables({"site": histogram}, images=len(q))
        names = fitted.tables.table_of[fitted.class_of["site"].long(), 0]
        self.coder = RansCoder(fitted.tables.coder_tables, names.numpy())
        self.context_coder = codec.coder()
        self.planes = as_planes(torch.from_numpy(q)).numpy()
        self.payload, self.context_payload = self.coder.encode(q), b""
        self.context_encode()
        self.columns = self._columns(q)
        self.models = []
        for row in counts:
            share = np.maximum(row, 0.5).astype(np.float32)
            self.models.append(
                constriction.stream.model.Categorical(share / share.sum(), perfect=False)
            )
        self.oracle_encode()

    @staticmethod
    def _columns(q: Symbols) -> list[NDArray[np.int32]]:
        """Symbols by component, counted from the site's lowest."""
        lowest = q.min()
        return [np.ascontiguousarray(q[:, j].ravel() - lowest) for j in range(q.shape[1])]

    def encode(self) -> None:
        self.coder.encode(self.q)

    def decode(self) -> None:
        self.coder.decode(self.payload, self.q.shape, self.out)

    def context_encode(self) -> None:
        self.context_payload = self.context_coder.encode(self.planes)

    def context_decode(self) -> None:
        self.context_coder.decode(self.context_payload, self.planes.shape)

    def oracle_encode(self) -> None:
        self.coders = []
        for column, model in zip(self.columns, self.models, strict=True):
            coder = constriction.stream.stack.AnsCoder()
            coder.encode_reverse(column, model)
            self.coders.append(coder)
        self.compressed = [coder.get_compressed() for coder in self.coders]

    def oracle_decode(self) -> None:
        for coder, column, model in zip(self.coders, self.columns, self.models, strict=True):
            coder.decode(model, len(column))

    def oracle_bytes(self) -> int:
        return sum(4 * len(words) for words in self.compressed)


def _slowdown(pressed: CompressedModel, data: Dataset, threads: int) -> float:
    """Evaluation with real bytes at every site against evaluation without, in turn."""
    test = data.test.take(500)

    def plain() -> None:
        predict(pressed, test)

    def measured() -> None:
        with through_bytes(pressed):
            predict(pressed, test)

    torch.set_num_threads(threads)
    try:
        plain()
        measured()
        rounds = [(_seconds(plain), _seconds(measured)) for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(1)
    return statistics.median(with_bytes / without for without, with_bytes in rounds)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(RESULTS)
    if "packing" in arguments.parts and not store.has("none", "packing", "64 MiB", 0):
        store.add(measure_packing())
    for name in arguments.models:
        missing = [
            measure
            for part, measure in (("sizes", measure_sizes), ("rans", measure_coder))
            if part in arguments.parts and not store.has(name, part, VARIANT, 0)
        ]
        coded = Coded.network(name) if missing else None
        for measure in missing:
            assert coded is not None
            store.add(measure(name, coded))
            print(store.rows[-1], flush=True)
    write_page(store.rows)


if __name__ == "__main__":
    main()

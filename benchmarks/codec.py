"""Real bytes: their length against the entropy view, and the speed of the coder.

    python -m benchmarks.codec [--models resnet18 ...]

Writes `benchmarks/results/codec.json`, one row per network, and `docs/results-codec.md`. Plans come
from transform coding at one signal to noise ratio, so that no search is needed; ratios are taken
side by side in one process, medians of several rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.bitstream import RansCoder
from actpress.budget import Budget
from actpress.codec import SiteCodec
from actpress.data import Dataset, load_fashion_mnist
from actpress.evaluate import RunInfo, evaluate, predict
from actpress.graph import Graph, capture
from actpress.methods import Settings, Task
from actpress.methods.transform_coding import plan_at
from actpress.plan import Placement
from actpress.press import PressedModel
from actpress.stream import through_bytes
from actpress.zoo import reference
from benchmarks.store import Row, Store

RESULTS = Path("benchmarks/results/codec.json")
PAGE = Path("docs/results-codec.md")
MODELS = ("resnet18", "vgg16_bn", "mobilenet_v2")
DECIBELS = 12.0
IMAGES = {1: 100, 64: 512}
SPEED_IMAGES = 64
ROUNDS = 7
INTRO = f"""# Real bytes

Written by `make bench-codec` from `{RESULTS}`; do not edit by hand.

Transform coding at {DECIBELS:g} dB, Fashion-MNIST test images.

- *batch 1*, *batch 64*: length of the whole stream, headers, checksums and states included, over
  the entropy view (targets: within 5 % and within 1 %).
- *encode*, *decode*: one thread, the symbols of all sites of {SPEED_IMAGES} images; *encode x*,
  *decode x* and *size* compare with constriction in the same process (targets: at least 1.5, at
  least 5, within 1 %).
- *evaluate*: time with every site going through bytes over the time without (target: at most 2).

| network | batch 1 | batch 64 | encode | decode | encode x | decode x | size | evaluate |
|---|--:|--:|--:|--:|--:|--:|--:|--:|"""
Symbols = NDArray[np.int32]


def measure_model(name: str) -> Row:
    """All figures of one network."""
    data = load_fashion_mnist()
    graph = capture(reference.load(name), next(data.train.batches(2))[0])
    task = Task(graph, data, Budget.parse("1bits"), Settings(calibration_images=1000))
    observed = task.calibrate(Placement.PRE_ACT)
    pressed = task.press(plan_at(task, observed, DECIBELS), observed)
    row: Row = {"model": name, "method": "rans", "variant": f"{DECIBELS:g}dB", "seed": 0}
    return row | _lengths(pressed, graph, data) | _speed(pressed, data) | _slowdown(pressed, data)


def _lengths(pressed: PressedModel, graph: Graph, data: Dataset) -> Row:
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


def _speed(pressed: PressedModel, data: Dataset) -> Row:
    """Both coders on the symbols of all sites, one thread, the median over rounds."""
    x = next(data.test.batches(SPEED_IMAGES))[0]
    coded = [_Site(codec, q) for codec, q in _symbols(pressed, x)]
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for label, part in (
            ("encode", _Site.encode),
            ("decode", _Site.decode),
            ("oracle_encode", _Site.oracle_encode),
            ("oracle_decode", _Site.oracle_decode),
        ):
            began = time.perf_counter()
            for site in coded:
                part(site)
            seconds.setdefault(label, []).append(time.perf_counter() - began)
    symbols = sum(site.q.size for site in coded)
    median = {label: statistics.median(times) for label, times in seconds.items()}
    ours = sum(len(site.payload) for site in coded)
    theirs = sum(site.oracle_bytes() for site in coded)
    return {
        "symbols": symbols,
        "encode_msymbols_per_s": symbols / median["encode"] / 1e6,
        "decode_msymbols_per_s": symbols / median["decode"] / 1e6,
        "encode_against_constriction": median["oracle_encode"] / median["encode"],
        "decode_against_constriction": median["oracle_decode"] / median["decode"],
        "size_against_constriction": ours / theirs,
    }


class _Site:
    """The symbols of one site, with our coder and with constriction's."""

    def __init__(self, codec: SiteCodec, q: Symbols) -> None:
        self.q = q
        self.coder = RansCoder(codec.coder().tables, threads=1)
        self.payload = self.coder.encode(q)
        self.out = np.empty_like(q)
        tables = self.coder.tables
        self.columns: list[NDArray[np.int32]] = []
        self.models = []
        for j, (a, b) in enumerate(pairwise(tables.offsets.tolist())):
            share = np.maximum(tables.frequencies[a:b], 0.5).astype(np.float32)
            self.models.append(
                constriction.stream.model.Categorical(share / share.sum(), perfect=False)
            )
            self.columns.append(np.ascontiguousarray(q[:, j].ravel() - tables.q_min[j]))
        self.oracle_encode()

    def encode(self) -> None:
        self.coder.encode(self.q)

    def decode(self) -> None:
        self.coder.decode(self.payload, self.q.shape, self.out)

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


def _symbols(pressed: PressedModel, x: Tensor) -> list[tuple[SiteCodec, Symbols]]:
    class Keep:
        def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
            del x, x_hat
            flat = q.reshape(q.shape[0], q.shape[1], -1)
            kept.append((codec, flat.int().contiguous().numpy()))

    kept: list[tuple[SiteCodec, Symbols]] = []
    for codec in pressed.codecs.values():
        codec.probe = Keep()
    with torch.no_grad():
        pressed.eval()(x)
    for codec in pressed.codecs.values():
        codec.probe = None
    return kept


def _slowdown(pressed: PressedModel, data: Dataset) -> Row:
    """Evaluation with real bytes at every site against evaluation without, in turn."""
    test = data.test.take(500)

    def plain() -> None:
        predict(pressed, test)

    def measured() -> None:
        with through_bytes(pressed):
            predict(pressed, test)

    measured()
    ratios = []
    for _ in range(3):
        without = _seconds(plain)
        ratios.append(_seconds(measured) / without)
    return {"evaluate_slowdown": statistics.median(ratios)}


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def write_page(rows: list[Row]) -> None:
    """`docs/results-codec.md`, written anew."""
    lines = [INTRO]
    lines += [
        f"| {row['model']} | {100 * row['batch1']['excess']:+.2f} % | "
        f"{100 * row['batch64']['excess']:+.2f} % | {row['encode_msymbols_per_s']:.0f} Msymbol/s | "
        f"{row['decode_msymbols_per_s']:.0f} Msymbol/s | "
        f"{row['encode_against_constriction']:.2f}x | {row['decode_against_constriction']:.2f}x | "
        f"{row['size_against_constriction']:.4f} | {row['evaluate_slowdown']:.2f}x |"
        for row in rows
    ]
    PAGE.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    store = Store(RESULTS)
    for name in parser.parse_args().models:
        if not store.has(name, "rans", f"{DECIBELS:g}dB", 0):
            row = measure_model(name)
            store.add(row)
            print(row, flush=True)
    write_page(store.rows)


if __name__ == "__main__":
    main()

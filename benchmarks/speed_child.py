"""What `benchmarks.speed` times, run as a script in a process of its own by any build of actpress.

    python speed_child.py WORK [ARGUMENT ...]

Builds whose modules have other names are told apart here. The first line on stdout holds facts as
JSON; for every line on stdin each part of the work runs once, and its seconds are the next line.
"""

import copy
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.budget import Budget, View
from actpress.data import Dataset, Split, load_dataset
from actpress.graph import capture
from actpress.kernels import CONTEXTS, as_planes, count_in_contexts
from actpress.methods import METHODS, Settings
from actpress.plan import Placement, Transform
from actpress.stream import through_bytes
from actpress.tune import TuneSettings
from actpress.tune.loop import TuningRun
from actpress.tune.rate import RateBound
from actpress.zoo import reference, resnet18

EARLIER = find_spec("actpress.evaluation") is None
"""Builds until aab34da called things otherwise."""

evaluation = import_module("actpress.evaluate" if EARLIER else "actpress.evaluation")
_RECIPE = "transform_coding" if EARLIER else "principal_components"
plan_at: Any = import_module(f"actpress.methods.{_RECIPE}").plan_at
Job: Any = getattr(import_module("actpress.methods"), "Task" if EARLIER else "Job")

DECIBELS = 12.0
CALIBRATED, CODED_IMAGES, STEP_IMAGES, EVALUATED_IMAGES = 200, 64, 64, 100
LARGE = {"train": 64, "holdout": 32, "test": 32}
"""Images at 3x224x224 in each split."""

Parts = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Work:
    """What is told first, and what runs when asked."""

    facts: dict[str, object]
    parts: Parts = field(default_factory=dict)


def reference_coded(name: str, *, learned: bool = False) -> tuple[Any, Any]:
    """A job and a pressed reference network."""
    return transform_coded(
        reference.load(name), load_dataset("fashion-mnist-subset"), learned=learned
    )


def transform_coded(network: nn.Module, data: Dataset, *, learned: bool = False) -> tuple[Any, Any]:
    """A job and a pressed network, at one signal to noise ratio: no search is needed."""
    graph = capture(network, next(data.train.batches(2))[0])
    job = Job(graph, data, Budget.parse("1bits"), Settings(calibration_images=CALIBRATED))
    observed = job.calibrate(Placement.PRE_ACT)
    plan = plan_at(job, observed, DECIBELS)
    if learned:
        transform = getattr(Transform, "LEARNED_PCA", Transform.LEARNED)
        sites = [site.model_copy(update={"transform": transform}) for site in plan.sites]
        plan = plan.model_copy(update={"sites": tuple(sites)})
    return job, job.press(plan, observed)


def symbols_of(name: str) -> list[tuple[Any, Tensor]]:
    """Codecs of a reference network and the symbols (n, k, ...) that they store of some images."""
    job, pressed = reference_coded(name)
    found: list[tuple[Any, Tensor]] = []

    def keep(codec: Any, inputs: tuple[Tensor, ...]) -> None:
        found.append((codec, codec.encode(inputs[0])))

    hooks = [codec.register_forward_pre_hook(keep) for codec in pressed.codecs.values()]
    with torch.no_grad():
        pressed.eval()(next(job.data.test.batches(CODED_IMAGES))[0])
    for hook in hooks:
        hook.remove()
    return found


def without_contexts(name: str) -> Work:
    """Decoding of the same symbols without contexts, by this coder and by constriction's."""
    site = import_module("benchmarks.codec").CodedSite
    sites = [site(codec, q.contiguous().numpy()) for codec, q in symbols_of(name)]

    def decode() -> None:
        for one in sites:
            one.decode()

    def constriction() -> None:
        for one in sites:
            one.oracle_decode()

    return Work({}, {"decode": decode, "constriction": constriction})


def coder(name: str) -> Work:
    """Encoding and decoding in context, of the symbols of all sites of a reference network."""
    sites = [(codec.coder(), as_planes(q).numpy(), [b""]) for codec, q in symbols_of(name)]

    def encode() -> None:
        for codec, planes, payload in sites:
            payload[0] = codec.encode(planes)

    def decode() -> None:
        for codec, planes, payload in sites:
            codec.decode(payload[0], planes.shape)

    encode()
    total = sum(len(payload[0]) for _, _, payload in sites)
    symbols = sum(planes.size for _, planes, _ in sites)
    return Work({"symbols": symbols, "bytes": total}, {"encode": encode, "decode": decode})


def counting(name: str) -> Work:
    """Counting of the symbols of all sites of a reference network in contexts, and their copy."""
    sites = []
    for _, q in symbols_of(name):
        lowest, levels = int(q.min()), int(q.max() - q.min()) + 1
        counts = torch.zeros(q.shape[1], CONTEXTS, levels, dtype=torch.int64)
        sites.append((q.float(), lowest, counts, q.float()))

    def count() -> None:
        for q, lowest, counts, _ in sites:
            count_in_contexts(q, lowest, counts)

    def copy_all() -> None:
        for q, _, _, other in sites:
            other.copy_(q)

    symbols = sum(q.numel() for q, *_ in sites)
    return Work({"symbols": symbols}, {"count": count, "copy": copy_all})


def tuning(name: str) -> Work:
    """One step that trains the codecs of a reference network, and one that trains it in float.

    The first is taken with images that training never met, and with those of an epoch before, of
    which it may remember what the float network predicts.
    """
    job, pressed = reference_coded(name, learned=True)
    settings = TuneSettings(batch_size=STEP_IMAGES, validation_images=STEP_IMAGES)
    data: Dataset = job.data
    run = TuningRun(pressed, job.graph, data.train, data.holdout, settings, RateBound(1e6))
    x, labels = next(data.train.batches(STEP_IMAGES))
    model = copy.deepcopy(job.graph.eval_module).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True)

    def float_step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()

    shifts = itertools.count()

    def new_images() -> None:
        run.train_step(x + 1e-3 * next(shifts), labels)

    def same_images() -> None:
        run.train_step(x, labels)

    return Work({}, {"float": float_step, "first": new_images, "later": same_images})


def real_bytes(name: str) -> Work:
    """A pressed reference network with every site going through bytes, and without."""
    job, pressed = reference_coded(name)
    test = job.data.test.take(EVALUATED_IMAGES)

    def plain() -> None:
        evaluation.predict(pressed, test)

    def measured() -> None:
        with through_bytes(pressed):
            evaluation.predict(pressed, test)

    return Work({}, {"plain": plain, "bytes": measured})


def gdr(name: str, view: str) -> Work:
    """The greedy search on a reference network and all that a user waits for."""
    data = load_dataset("fashion-mnist-subset")
    return searched(reference.load(name), data, view)


def large(view: str) -> Work:
    """The same on ResNet18 in torchvision's layout, random weights, at 3x224x224."""
    return searched(*enlarged(LARGE), view)


def enlarged(sizes: dict[str, int]) -> tuple[nn.Module, Dataset]:
    """That network, and so many images of each split for it."""
    small = load_dataset("fashion-mnist-subset")

    def wide(split: Split, images: int) -> Split:
        x, labels = next(split.batches(images))
        x = F.interpolate(x, size=(224, 224), mode="bilinear").expand(-1, 3, -1, -1)
        return Split.in_memory(x.contiguous(), labels)

    train, holdout, test = (wide(getattr(small, name), images) for name, images in sizes.items())
    torch.manual_seed(0)
    network = resnet18(num_classes=1000).eval()
    return network, Dataset("enlarged", train, holdout, test, 1000)


def evaluated() -> Work:
    """The first evaluation of a process, of that network without a search."""
    job, pressed = transform_coded(*enlarged(LARGE | {"train": 8, "holdout": 2}))
    began = time.process_time()
    evaluation.evaluate(pressed, job.graph, job.data.test, evaluation.RunInfo())
    evaluated = time.process_time()
    evaluation.predict(job.graph.eval_module, job.data.test)
    ended = time.process_time()
    return Work({"evaluation_s": evaluated - began, "forward_s": ended - evaluated})


def searched(network: nn.Module, data: Dataset, view: str) -> Work:
    """Seconds of every stage, and the memory that this process took at most."""
    clock = [time.process_time()]
    job = Job(capture(network, next(data.train.batches(2))[0]), data, budget_of(view))
    outcome = METHODS["gdr"](job)
    clock.append(time.process_time())
    metrics = evaluation.evaluate(
        outcome.pressed, job.graph, data.test, evaluation.RunInfo(), statistics=outcome.statistics
    )
    clock.append(time.process_time())
    evaluation.predict(job.graph.eval_module, data.test)
    clock.append(time.process_time())
    search_s, evaluation_s, forward_s = (b - a for a, b in pairwise(clock))
    return Work(
        {
            "search_s": search_s,
            "evaluation_s": evaluation_s,
            "forward_s": forward_s,
            "whole_s": time.process_time(),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "bits_per_value": metrics.bits_per_value.entropy,
            "agreement": metrics.agreement,
        }
    )


def budget_of(view: str) -> Budget:
    """Six times fewer bits for activations alone, which all builds can be asked for."""
    if EARLIER:
        return Budget.parse("6x", view=View(view))
    return Budget.parse(f"6x ({view}, activations)")


def main() -> None:
    """Prepare, then run the parts once for every line that comes in."""
    torch.set_num_threads(1)
    name, *arguments = sys.argv[1:]
    kinds: dict[str, Callable[..., Work]] = {
        kind.__name__: kind
        for kind in (coder, without_contexts, counting, tuning, real_bytes, evaluated, gdr, large)
    }
    work = kinds[name](*arguments)
    print(json.dumps(work.facts), flush=True)
    for _ in sys.stdin if work.parts else ():
        print(json.dumps({name: seconds_of(part) for name, part in work.parts.items()}), flush=True)


def seconds_of(part: Callable[[], object]) -> float:
    """Of the processor, so that other work on the machine counts for little."""
    began = time.process_time()
    part()
    return time.process_time() - began


if __name__ == "__main__":
    main()

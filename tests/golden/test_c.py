"""C of one small network, letter by letter; `python -m tests.golden.test_c` writes it anew.

The network is made of integers alone, so that the text is the same on every machine.
"""

from pathlib import Path

import numpy as np
import pytest

from actpress._version import __version__
from actpress.deploy.c.network import sources
from actpress.deploy.integer import (
    Addend,
    Convolution,
    Executor,
    IntegerMap,
    IntegerNetwork,
    Pool,
    Reading,
    Rescale,
    Stage,
    Table,
    Window,
)
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.integer.network import Input
from actpress.deploy.memory import CodedGroup, CodeTable, MemoryPlan, layout_of, planned
from actpress.deploy.memory.coding import coded_layout
from tests.unit.deploy.host_c import on_host

FOLDER = Path(__file__).parent / "c"
SIDE, CLASSES = 12, 3


def some(*shape: int, most: int) -> Array:
    """Integers from -most to most."""
    count = int(np.prod(shape))
    return ((np.arange(count) ** 2 * 37 + 11) % (2 * most + 1) - most).reshape(shape)


def map_of(name: str, side: int, *levels: int) -> IntegerMap:
    most = np.array(levels) - 1
    return IntegerMap(name, len(levels), side, side, np.zeros_like(most), most)


def reading_of(stored: IntegerMap) -> Reading:
    """Codes as they are, but for the image, whose bytes become int8."""
    low = -128 if stored.q_max.max() > 127 else 0
    values = np.arange(int(stored.q_max.max()) + 1) + low
    zeros = np.full(stored.channels, low)
    return Reading(stored, Table(values, np.zeros(stored.channels, np.int64)), None, zeros)


def rescale_to(target: IntegerMap | None, channels: int, shift: int) -> Rescale:
    wide = target is None
    low = np.full(channels, -(2**31)) if wide else np.zeros(channels, np.int64)
    high = np.full(channels, 2**31 - 1) if target is None else target.q_max
    zeros = np.zeros(channels, np.int64)
    return Rescale(zeros + 3, zeros + shift, zeros, low, high)


def convolution(name: str, source: IntegerMap, target: IntegerMap, shift: int) -> Stage:
    window = Window((3, 3), before=(1, 1), after=(1, 1))
    weight = some(target.channels, source.channels, 3, 3, most=50)
    bias = some(target.channels, most=900) + (1 << shift - 2)
    operation = Convolution(window, weight, bias, 1)
    rescale = rescale_to(target, target.channels, shift)
    return Stage(name, reading_of(source), operation, (), rescale, None, None, target)


def network() -> IntegerNetwork:
    """Two convolutions, a sum over a skip, a pool of everything and a linear layer."""
    image = map_of("image", SIDE, 256)
    first, second = map_of("first", SIDE, 8, 8, 4, 1), map_of("second", SIDE, 8, 8, 8, 8)
    joined, pooled = map_of("joined", SIDE, 16, 16, 16, 16), map_of("pooled", 1, *[256] * 4)
    skip = Addend(reading_of(first), 0, np.full(4, 1 << 9))
    add = Stage(
        "add",
        reading_of(second),
        Pool(Window((1, 1)), largest=False),
        (skip,),
        rescale_to(joined, 4, 3),
        None,
        None,
        joined,
    )
    whole = Pool(Window((SIDE, SIDE), (SIDE, SIDE)), largest=False)
    pool = Stage(
        "pool", reading_of(joined), whole, (), rescale_to(pooled, 4, 6), None, None, pooled
    )
    linear = Convolution(Window((1, 1)), some(CLASSES, 4, 1, 1, most=90), some(3, most=9), 1)
    head = Stage(
        "head", reading_of(pooled), linear, (), rescale_to(None, CLASSES, 1), None, None, None
    )
    stages = (
        convolution("first", image, first, 13),
        convolution("second", first, second, 7),
        add,
        pool,
        head,
    )
    return IntegerNetwork(Input(image, 1.0, 0), stages, 1.0)


def plan_of(made: IntegerNetwork) -> MemoryPlan:
    """One map in rANS, the others packed."""
    layouts = {each.name: layout_of(each) for each in made.maps}
    table = CodeTable.of(np.array([45.0, 12, 11, 11, 4, 2, 1, 1]))
    groups = (CodedGroup(table, (0, 1, 2)), CodedGroup(None, (3,)))
    layouts["first"] = coded_layout(made.maps[1], groups, 11)
    return planned(made, layouts)


def written() -> dict[str, str]:
    """The text, without the version of actpress."""
    made = network()
    files = sources(made, plan_of(made), "golden").files
    return {name: text.replace(__version__, "VERSION") for name, text in files.items()}


@pytest.mark.parametrize("name", ["net.c", "net.h", "weights.c", "weights.h"])
def test_c_is_the_kept_one(name: str) -> None:
    assert written()[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_the_kept_c_computes_the_reference(tmp_path: Path) -> None:
    made = network()
    plan = plan_of(made)
    images = np.random.default_rng(0).integers(0, 256, (20, SIDE, SIDE, 1))
    logits, codes = Executor(made, plan.kept).run(images)
    host = on_host(made, plan, tmp_path)
    for at, image in enumerate(images):
        found, maps = host.run(image)
        assert (found, maps) == (logits[at].tolist(), host.expected(codes, at))
    coding = plan.layouts["first"].coding
    assert coding is not None
    fit = coding.streams(codes["first"].reshape(-1, SIDE, 4)).lengths <= coding.room_bytes
    assert (coding.dropped_bits, 0.1 < fit.mean() < 0.9) == (1, True)
    spread = [len(np.unique(codes[each.name])) for each in made.maps[1:]]
    assert min(spread) > 3, "maps must not be constant"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, content in written().items():
        (FOLDER / file).write_text(content, encoding="utf-8")

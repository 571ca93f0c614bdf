"""Exported C computes the integers of the reference: every logit and every stored symbol."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actpress.calibration import calibrate
from actpress.deploy.c import export_c
from actpress.deploy.c.runs import pack_function, unpack_function, unrolled
from actpress.deploy.integer import (
    Executor,
    IntegerMap,
    IntegerNetwork,
    Table,
    Weights,
    integer_network,
)
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import (
    MemoryPlan,
    layout_of,
    map_traffic,
    memory_plan,
    planned,
    rans_layouts,
)
from actpress.errors import ExportError, RunError
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from tests.golden.test_c import network as golden_network
from tests.golden.test_c import plan_of as golden_plan
from tests.unit.deploy.conftest import Pressing
from tests.unit.deploy.host_c import on_host
from tests.unit.deploy.test_integer import Sums

MakePressed = Callable[..., CompressedModel]
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
emulated = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} missing: apt-get install gcc-arm-none-eabi "
    f"libnewlib-arm-none-eabi qemu-system-arm",
)


def assert_equal(network: IntegerNetwork, images: Tensor, folder: Path, plan: MemoryPlan) -> None:
    """Images through the reference and through C."""
    host = on_host(network, plan, folder)
    image = image_codes(network.input, images.numpy())
    logits, codes = Executor(network, plan.kept).run(image)
    for at in range(len(images)):
        found, maps = host.run(image[at])
        assert found == logits[at].tolist()
        assert maps == host.expected(codes, at)


@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.parametrize("size", [(8, 8), (5, 3), (8, 1)])
def test_c_is_the_reference(
    make_pressed: MakePressed,
    images: Tensor,
    tmp_path: Path,
    transform: Transform,
    placement: Placement,
    size: tuple[int, int],
) -> None:
    rank, bit_width = size
    pressed = make_pressed(transform, placement=placement, rank=rank, bit_width=bit_width)
    network = integer_network(pressed, [images])
    assert_equal(network, images[:5], tmp_path, memory_plan(network))


@pytest.mark.parametrize("whole_bytes", [False, True])
@pytest.mark.parametrize("cascades", [False, True])
@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
def test_operators(
    press_all: Pressing,
    colours: Tensor,
    tmp_path: Path,
    transform: Transform,
    *,
    cascades: bool,
    whole_bytes: bool,
) -> None:
    network = integer_network(press_all(Sums(), transform, bit_width=5), [colours])
    plan = memory_plan(network, cascades=cascades, whole_bytes=whole_bytes)
    assert_equal(network, colours[:4], tmp_path, plan)


class Random(nn.Module):
    """A few layers that a recipe describes; `x` is a residual sum of the last two maps."""

    def __init__(self, recipe: list[tuple[str, int, int, int]], channels: int) -> None:
        super().__init__()
        self.recipe = [kind for kind, *_ in recipe]
        layers: list[nn.Module] = []
        for kind, outputs, kernel, stride in recipe:
            made, channels = _layer(kind, channels, outputs, kernel, stride)
            layers.append(made)
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        for kind, layer in zip(self.recipe, self.layers, strict=True):
            x = x + layer(x) if kind == "residual" else layer(x)
        return self.head(x.mean((2, 3)))


def _layer(kind: str, inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, int]:
    if kind == "pool":
        return nn.MaxPool2d(kernel, stride, kernel // 2), inputs
    if kind == "shrink":
        return nn.AvgPool2d(stride, ceil_mode=False), inputs
    if kind == "depthwise":
        conv = nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs)
        return nn.Sequential(conv, nn.ReLU6()), inputs
    if kind == "residual":
        return nn.Sequential(nn.Conv2d(inputs, inputs, kernel, 1, kernel // 2), nn.ReLU()), inputs
    groups = 2 if kind == "grouped" and inputs % 2 == 0 and outputs % 2 == 0 else 1
    dilation = 2 if kind == "dilated" else 1
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups)
    act: nn.Module = nn.Hardswish() if kind == "smooth" else nn.ReLU()
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), act), outputs


def leaves_pixels(recipe: list[tuple[str, int, int, int]], side: int) -> bool:
    """Whether a map of so many pixels a side has some left after all layers."""
    for kind, *_, stride in recipe:
        if kind != "residual":
            side = side // stride if kind == "shrink" else -(-side // stride)
    return side > 0


KINDS = ["dense", "grouped", "dilated", "smooth", "depthwise", "residual", "pool", "shrink"]
RECIPES = st.lists(
    st.tuples(
        st.sampled_from(KINDS), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(1, 2)
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    recipe=RECIPES,
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(9, 14), st.integers(9, 14)),
    codecs=st.tuples(
        st.sampled_from([Transform.IDENTITY, Transform.PCA]),
        st.sampled_from(list(Placement)),
        st.integers(1, 8),
        st.sampled_from(list(Weights)),
    ),
    coded=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_random_networks(
    tmp_path_factory: pytest.TempPathFactory,
    recipe: list[tuple[str, int, int, int]],
    channels: int,
    size: tuple[int, int],
    codecs: tuple[Transform, Placement, int, Weights],
    seed: int,
    *,
    coded: bool,
) -> None:
    assume(leaves_pixels(recipe, min(size)))
    transform, placement, bit_width, weights = codecs
    if weights is Weights.FLOAT32 and "smooth" in {kind for kind, *_ in recipe}:
        transform = Transform.IDENTITY
    torch.manual_seed(seed)
    network = Random(recipe, channels).eval()
    images = torch.randn(12, channels, *size)
    graph = capture(network, images[:2])
    placements = {site.name: placement for site in graph.sites}
    statistics = calibrate(graph, [images], placements)
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=placement,
            transform=transform,
            channels=site.channels,
            rank=site.channels,
            step=max(float(statistics.sites[site.name].covariance.diagonal().mean()), 1e-6) ** 0.5
            * 2.0 ** (3 - bit_width),
            bit_width=bit_width,
        )
        for at, site in enumerate(graph.sites)
        if (seed + at) % 4  # some are left without a codec
    )
    pressed = press(
        graph, Plan(method="test", fingerprint=graph.fingerprint, sites=sites), statistics
    )
    fit_tables(pressed, [images])
    integers = integer_network(pressed, [images], weights=weights)
    layouts = {each.name: layout_of(each) for each in integers.maps}
    if coded:
        layouts = rans_layouts(integers, [images[2:]], worth=100)
    plan = planned(integers, layouts, cascades=bool(seed % 2))
    assert_equal(integers, images[:2], tmp_path_factory.mktemp("c"), plan)


def stored(name: str, *bits: int) -> IntegerMap:
    most = (1 << np.array(bits)) - 1
    return IntegerMap(name, len(bits), 4, 4, np.zeros_like(most), most)


def test_widths_of_few_symbols_have_no_functions() -> None:
    maps = [stored("image", *[8] * 7), stored("map", *[4] * 8, 2), stored("handed_on", 2, 2)]
    kept = [each.name for each in maps[:2]]
    plan = SimpleNamespace(
        layouts={each.name: layout_of(each) for each in maps}, offsets=dict.fromkeys(kept, 0)
    )
    assert unrolled(cast(MemoryPlan, plan), maps) == [2, 4, 8]  # 1 of 16 channels has 2 bits
    maps[0] = stored("image", *[8] * 8)
    plan.layouts["image"] = layout_of(maps[0])
    assert unrolled(cast(MemoryPlan, plan), maps) == [4, 8]


COUNTS = (1, 7, 8, 9, 16, 31, 40, 48)


@pytest.mark.parametrize("bits", range(1, 9))
def test_runs_of_every_width(tmp_path: Path, bits: int) -> None:
    """Several symbols at a time, and the rest, against numpy's own packing."""
    codes = np.random.default_rng(bits).integers(0, 2**bits, max(COUNTS)).astype(np.uint8)
    rest = (files("actpress.deploy.c.templates") / "codes.c").read_text().partition("@RUNS@")[0]
    body = (
        "#include <stdint.h>\n#include <string.h>\n#include <stdio.h>\n"
        f"{rest}{unpack_function(bits)}{pack_function(bits)}"
        f"static const uint8_t table[] = {{ {', '.join(map(str, range(255, -1, -1)))} }};\n"
        f"static const uint8_t codes[] = {{ {', '.join(map(str, codes))} }};\n"
        "int main(void) { (void)unpack_rest; (void)pack_rest;\n"
    )
    for count in COUNTS:
        body += (
            f"{{ uint8_t to[{-(-count * bits // 8)}], back[{count}];\n"
            f"pack_{bits}(codes, {count}, to); unpack_{bits}(to, {count}, table, back);\n"
            'for (unsigned i = 0; i < sizeof to; i++) printf("%d ", to[i]);\n'
            'for (unsigned i = 0; i < sizeof back; i++) printf("%d ", 255 - back[i]); }\n'
        )
    (tmp_path / "run.c").write_text(body + "return 0; }\n")
    run("cc", "-std=c99", *SANITIZERS, "run.c", "-o", "run", folder=tmp_path)
    said = run("./run", folder=tmp_path)

    expected: list[int] = []
    for count in COUNTS:
        bit = ((codes[:count, None] >> np.arange(bits)) & 1).astype(np.uint8).ravel()
        expected += [*np.packbits(bit, bitorder="little").tolist(), *codes[:count].tolist()]
    assert [int(each) for each in said.split()] == expected


@pytest.mark.parametrize("alike", [True, False])
def test_channels_of_a_width_that_begin_alike_share_their_start(
    tmp_path: Path, *, alike: bool
) -> None:
    made = golden_network()
    first, second = made.stages[:2]
    assert first.target is not None
    assert second.source is not None
    assert first.target.bits.tolist() == [3, 3, 2, 0]
    values = np.concatenate([np.arange(8), np.arange(8) - 20, [9, 7, 5, 3], [1]])
    table = Table(values, np.array([8, 8 if alike else 0, 16, 20]))
    source = replace(second.source, table=table)
    made = replace(made, stages=(first, replace(second, source=source), *made.stages[2:]))
    plan = memory_plan(made, cascades=False)

    host = on_host(made, plan, tmp_path)
    declared = (tmp_path / "weights.h").read_text()
    kept = "uint8_t first_lines_start[3]" if alike else "struct span first_lines_spans[4]"
    assert f"const {kept};" in declared
    codes = np.random.default_rng(0).integers(0, 256, (5, *made.input.map.shape[1:], 1))
    logits, maps = Executor(made).run(codes)
    for at, image in enumerate(codes):
        assert host.run(image) == (logits[at].tolist(), host.expected(maps, at))


@pytest.mark.parametrize(("start", "spans"), [([8, 8, 16, 20], 3), ([8, 0, 8, 20], 4)])
def test_channels_of_a_coded_map_share_their_start_side_by_side(
    tmp_path: Path, start: list[int], spans: int
) -> None:
    made = golden_network()
    first, second = made.stages[:2]
    assert second.source is not None
    values = np.concatenate([np.arange(8), np.arange(8) - 20, [9, 7, 5, 3], [1]])
    source = replace(second.source, table=Table(values, np.array(start)))
    made = replace(made, stages=(first, replace(second, source=source), *made.stages[2:]))
    plan = golden_plan(made)

    host = on_host(made, plan, tmp_path)
    assert f"struct span first_lines_spans[{spans}];" in (tmp_path / "weights.h").read_text()
    codes = np.random.default_rng(0).integers(0, 256, (20, *made.input.map.shape[1:], 1))
    logits, maps = Executor(made, plan.kept).run(codes)
    for at, image in enumerate(codes):
        assert host.run(image) == (logits[at].tolist(), host.expected(maps, at))


@pytest.fixture
def firmware(make_pressed: MakePressed, images: Tensor, tmp_path: Path) -> Path:
    network = integer_network(make_pressed(Transform.PCA, rank=6, bit_width=4), [images])
    export_c(network, images[:3], tmp_path / "firmware", title="tiny")
    return tmp_path / "firmware"


def run(*command: str, folder: Path, status: int = 0) -> str:
    """What a program says; it must end with a status."""
    done = subprocess.run(  # noqa: S603  compilers, make, and what they made
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode == 0) == (status == 0), done.stdout + done.stderr
    return done.stdout + done.stderr


def make(folder: Path, *arguments: str, status: int = 0) -> str:
    return run("make", *arguments, folder=folder, status=status)


def test_the_folder_checks_itself(firmware: Path) -> None:
    assert "maps and outputs of 3 images: equal" in make(firmware, "check")
    assert "maps and outputs of 3 images: equal" in make(firmware, "sanitize")


def test_a_wrong_weight_is_found(firmware: Path) -> None:
    text = (firmware / "weights.c").read_text()
    head, name, body = text.partition("const int8_t a_weight")
    start = body.index("{\n") + 2
    first = re.search(r"-?\d+", body[start:])
    assert first is not None
    changed = str(int(first.group()) // 2 + 40)
    (firmware / "weights.c").write_text(
        head + name + body[:start] + body[start:].replace(first.group(), changed, 1)
    )
    said = make(firmware, "check", status=2)
    assert "another map" in said
    assert "NOT equal" in said


@pytest.mark.parametrize(
    "where", ["host", pytest.param("m4", marks=emulated), pytest.param("m7", marks=emulated)]
)
def test_main_prints_the_logits_of_an_image(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path, where: str
) -> None:
    network = integer_network(make_pressed(Transform.IDENTITY, bit_width=4), [images])
    export_c(network, images[:1], tmp_path / "firmware", title="tiny")
    image = image_codes(network.input, images[:1].numpy())
    (tmp_path / "image").write_bytes(image.astype(np.uint8).tobytes())

    if where == "host":
        make(tmp_path / "firmware", "main")
        said = run("./main", "../image", folder=tmp_path / "firmware")
    else:
        board = f"BOARD={where}"
        said = make(tmp_path / "firmware", "-s", "qemu-main", board, "IMAGE=../image")

    logits = Executor(network).run(image)[0][0]
    assert [int(line.split()[1]) for line in said.splitlines()] == logits.tolist()
    scaled = [float(line.split()[2]) for line in said.splitlines()]
    assert scaled == pytest.approx((logits * network.logit_scale).tolist(), rel=1e-5)


@emulated
def test_main_on_a_board_says_what_it_needs(firmware: Path) -> None:
    assert "which image? IMAGE=" in make(firmware, "-s", "qemu-main", status=2)
    said = make(firmware, "-s", "qemu-main", "IMAGE=nowhere", status=2)
    assert "nowhere: No such file" in said


@emulated
@pytest.mark.parametrize("board", ["m4", "m7"])
def test_the_emulated_board_computes_the_same(firmware: Path, board: str) -> None:
    said = make(firmware, "qemu", f"BOARD={board}")
    assert "maps and outputs of 3 images: equal" in said
    for figure in (r"stack \d+ bytes", r"RAM \d+ bytes", r"flash \d+ bytes", r"instructions \d+"):
        assert re.search(figure, said)
    arena = re.search(r"NET_ARENA_BYTES (\d+)u", (firmware / "net.h").read_text())
    assert arena is not None
    pointer = 4  # to the row that is being computed
    assert f"RAM {int(arena.group(1)) + pointer} bytes without stack" in said


@emulated
@pytest.mark.parametrize("cascades", [False, True])
def test_counted_bytes_of_maps_are_those_of_the_plan(
    press_all: Pressing, colours: Tensor, tmp_path: Path, *, cascades: bool
) -> None:
    network = integer_network(press_all(Sums(), Transform.PCA, bit_width=3), [colours])
    made = export_c(network, colours[:1], tmp_path / "firmware", title="sums", cascades=cascades)
    said = make(tmp_path / "firmware", "qemu")
    found = re.search(r"maps: loaded (\d+) bytes, stored (\d+)", said)
    assert found is not None, said
    image = image_codes(network.input, colours[:1].numpy())
    codes = {name: each[0] for name, each in Executor(network).run(image)[1].items()}
    account = map_traffic(made.plan, codes)
    assert (account.loaded_bytes, account.stored_bytes) == tuple(map(int, found.groups()))


def test_missing_tools_are_named_with_their_packages(firmware: Path) -> None:
    said = make(firmware, "qemu", "ARM=none-", status=2)
    assert "none-gcc is missing; on Debian: apt-get install gcc-arm-none-eabi" in said
    assert "expected m4 or m7" in make(firmware, "qemu", "BOARD=m3", status=2)


def test_c_needs_no_library(firmware: Path) -> None:
    text = (firmware / "net.c").read_text() + (firmware / "weights.c").read_text()
    included = set(re.findall(r"#include [<\"](.*?)[>\"]", text))
    assert included <= {"net.h", "weights.h", "stddef.h", "string.h", "stdint.h", "arm_acle.h"}
    assert not re.search(
        r"\b(malloc|calloc|free|float|double)\b", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    )


def test_names_are_those_of_the_network(firmware: Path) -> None:
    text = (firmware / "net.c").read_text()
    assert "/* stem: (1, 8, 8) -> " in text
    assert ".weight = stem_weight" in text


def test_a_folder_that_exists_is_not_touched(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    network = integer_network(make_pressed(Transform.IDENTITY), [images])
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "mine").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        export_c(network, images[:1], tmp_path / "firmware", title="tiny")
    with pytest.raises(RunError, match=r"holds no net\.h"):
        export_c(network, images[:1], tmp_path / "firmware", title="tiny", force=True)
    assert [each.name for each in (tmp_path / "firmware").iterdir()] == ["mine"]


def test_an_activation_of_logits_is_refused_by_name(press_all: Pressing, colours: Tensor) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.ReLU()
    )
    integers = integer_network(press_all(network, Transform.IDENTITY), [colours])
    with pytest.raises(ExportError, match=r"^3: an activation of logits has no C form"):
        export_c(integers, colours[:1], Path("unused"), title="tiny")
    assert not Path("unused").exists()

"""Bit packing: defined by the plain reference, the same in every implementation."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actpress.errors import StreamError
from actpress.kernels import (
    bit_widths_of,
    packed_bytes,
    quantize_pack,
    quantize_pack_reference,
    unpack_dequantize,
    unpack_dequantize_reference,
)
from tests.conftest import two_threads


class Quantizer(NamedTuple):
    step: Tensor
    q_min: Tensor
    q_max: Tensor
    bit_widths: tuple[int, ...]

    @classmethod
    def drawn(cls, bit_widths: tuple[int, ...], seed: int = 0) -> "Quantizer":
        """Steps and lowest symbols at random; the highest ones need exactly these widths."""
        generator = np.random.default_rng(seed)
        widths = np.array(bit_widths)
        q_min = generator.integers(-300, 300, len(widths))
        least = np.where(widths > 0, 2 ** np.maximum(widths - 1, 0), 0)
        q_max = q_min + generator.integers(least, 2**widths, endpoint=False)
        step = torch.from_numpy(generator.uniform(0.01, 3, len(widths)).astype(np.float32))
        as_tensor = torch.from_numpy(np.stack([q_min, q_max]).astype(np.int32))
        return cls(step, as_tensor[0], as_tensor[1], bit_widths)

    def values(self, n: int, spatial: tuple[int, ...], seed: int = 0) -> Tensor:
        """Within the range and a little beyond, exact halves included."""
        generator = torch.Generator().manual_seed(seed)
        shape = (n, len(self.step), *spatial)
        per_component = (-1, *[1] * len(spatial))
        low, high = self.q_min.reshape(per_component), self.q_max.reshape(per_component)
        q = low - 2 + torch.rand(shape, generator=generator) * (high - low + 4)
        halves = torch.rand(shape, generator=generator) < 0.3
        return torch.where(halves, q.floor() + 0.5, q) * self.step.reshape(per_component)


@pytest.mark.parametrize("width", range(9))
@pytest.mark.parametrize("count", [1, 8, 9, 1023, 1024, 1025, 70000])
def test_compiled_loops_give_the_bytes_of_the_reference(width: int, count: int) -> None:
    quantizer = Quantizer.drawn((width,))
    x = quantizer.values(1, (count,))
    packed = quantize_pack(x, *quantizer)
    assert packed.shape == (1, width * -(-count // 8))
    assert packed.equal(quantize_pack_reference(x, *quantizer))
    step, q_min, _, widths = quantizer
    values = unpack_dequantize(packed, step, q_min, widths, (count,))
    assert values.equal(unpack_dequantize_reference(packed, step, q_min, widths, count))


@settings(max_examples=60, deadline=None)
@given(
    bit_widths=st.lists(st.integers(0, 8), min_size=1, max_size=12).map(tuple),
    n=st.integers(0, 3),
    spatial=st.lists(st.integers(1, 12), max_size=3).map(tuple),
    seed=st.integers(0, 99),
)
def test_what_comes_back_is_the_quantized_value(
    bit_widths: tuple[int, ...], n: int, spatial: tuple[int, ...], seed: int
) -> None:
    """Bit for bit, whatever the widths of the groups and the length of their rows."""
    quantizer = Quantizer.drawn(bit_widths, seed)
    step, q_min, q_max, _ = quantizer
    assert bit_widths_of(q_min, q_max) == bit_widths
    x = quantizer.values(n, spatial, seed)
    packed = quantize_pack(x, *quantizer)
    assert packed.equal(quantize_pack_reference(x, *quantizer))

    per_component = (-1, *[1] * len(spatial))
    low, high, steps = (t.reshape(per_component).float() for t in (q_min, q_max, step))
    expected = torch.round(x / steps).clamp(low, high) * steps
    values = unpack_dequantize(packed, step, q_min, bit_widths, spatial)
    assert values.equal(expected)


@pytest.mark.parametrize(("count", "rows"), [(10, 8), (1024, 32)])
def test_the_layout_is_the_one_that_is_written_down(count: int, rows: int) -> None:
    codes = [(7 * index + index // 5) % 8 for index in range(count)]
    x = torch.tensor(codes, dtype=torch.float32).reshape(1, 1, -1)
    packed = quantize_pack(x, torch.ones(1), torch.tensor([0]), torch.tensor([7]), (3,))
    lanes = -(-count // rows)
    numbers = [
        sum(code << 3 * row for row, code in enumerate(codes[lane::lanes])) for lane in range(lanes)
    ]
    words = [number >> rows * j & 2**rows - 1 for j in range(3) for number in numbers]
    assert bytes(packed[0].tolist()) == b"".join(
        word.to_bytes(rows // 8, "little") for word in words
    )


def test_runs_of_equal_width_share_their_bytes() -> None:
    assert packed_bytes((3, 3, 3, 3), 2) == 3
    assert packed_bytes((3, 0, 3), 4) == 6
    assert packed_bytes((8, 1, 1), 5) == 8 + 2
    assert packed_bytes((0, 0), 100) == 0


def test_what_cannot_be_represented_is_clamped() -> None:
    """Infinite values, NaN, and symbols that their width cannot hold."""
    x = torch.tensor([[[float("nan"), float("inf"), -float("inf"), 100.0, 2.5]]])
    step, q_min, q_max = torch.ones(1), torch.tensor([-2]), torch.tensor([50])
    for pack in (quantize_pack, quantize_pack_reference):
        packed = pack(x, step, q_min, q_max, (3,))
        values = unpack_dequantize(packed, step, q_min, (3,), (5,))
        assert values.flatten().tolist() == [-2, 5, -2, 5, 2]


def test_threads_change_no_byte() -> None:
    quantizer = Quantizer.drawn((5, 5, 0, 2, 7))
    x = quantizer.values(3, (150, 150))
    alone = quantize_pack(x, *quantizer)
    with two_threads():
        assert quantize_pack(x, *quantizer).equal(alone)


def test_an_output_is_filled() -> None:
    quantizer = Quantizer.drawn((4, 2))
    x = quantizer.values(2, (3, 5)).transpose(2, 3)
    assert not x.is_contiguous()
    packed = quantize_pack(x, *quantizer)
    out = torch.zeros_like(packed)
    assert quantize_pack(x, *quantizer, out=out) is out
    assert out.equal(packed)
    step, q_min, _, widths = quantizer
    values = torch.zeros(2, 2, 5, 3)
    assert unpack_dequantize(packed, step, q_min, widths, (5, 3), out=values) is values
    assert values.equal(unpack_dequantize(packed, step, q_min, widths, (5, 3)))


def test_what_does_not_fit_is_refused() -> None:
    quantizer = Quantizer.drawn((4, 2))
    step, q_min, q_max, widths = quantizer
    x = quantizer.values(2, (10,))
    packed = quantize_pack(x, *quantizer)
    with pytest.raises(StreamError, match=r"torch.float64; expected \(n, k, ...\), torch.float32"):
        quantize_pack(x.double(), *quantizer)
    with pytest.raises(StreamError, match="and 3 widths, for values of 2 components"):
        quantize_pack(x, step, q_min, q_max, (4, 2, 1))
    with pytest.raises(StreamError, match=r"got widths \[2, 9\]; expected 0 to 8"):
        quantize_pack(x, step, q_min, q_max, (9, 2))
    with pytest.raises(StreamError, match=r"the output has shape \(1,\), torch.uint8"):
        quantize_pack(x, *quantizer, out=torch.empty(1, dtype=torch.uint8))
    with pytest.raises(StreamError, match=r"shape \(2, 11\), torch.uint8; expected \(2, 12\)"):
        unpack_dequantize(packed[:, 1:], step, q_min, widths, (10,))
    with pytest.raises(StreamError, match="symbols 0 to 256; packing takes 1 to 256"):
        bit_widths_of(torch.tensor([0]), torch.tensor([256]))
    with pytest.raises(StreamError, match="at most 4194304 in magnitude"):
        bit_widths_of(torch.tensor([-(2**22) - 1]), torch.tensor([-(2**22)]))


Changes = dict[str, Callable[[Tensor], object]]


def short(tensor: Tensor) -> Tensor:
    return tensor[:-1].clone()


REFUSED: dict[str, Changes] = {
    "packed too small": {"packed": lambda packed: packed[:, 1:].clone()},
    "packed too large": {"packed": lambda packed: packed.repeat(1, 2)},
    "packed of fewer images": {"packed": short},
    "packed of another type": {"packed": lambda packed: packed.short()},
    "packed with gaps": {"packed": lambda packed: packed.t().contiguous().t()},
    "packed flat": {"packed": lambda packed: packed.flatten()},
    "fewer steps": {"step": short},
    "fewer lowest symbols": {"q_min": short},
    "fewer highest symbols": {"q_max": short},
    "steps of another type": {"step": lambda step: step.double()},
    "symbols of another type": {"q_min": lambda q_min: q_min.float()},
    "fewer widths": {"bit_widths": lambda widths: [3, 4]},
    "more widths": {"bit_widths": lambda widths: [3, 4, 0, 8]},
    "a width too large": {"bit_widths": lambda widths: [3, 4, 9]},
    "a width below zero": {"bit_widths": lambda widths: [3, 4, -1]},
    "wider values": {"x": lambda x: x.repeat(1, 1, 2, 1)},
    "values of more images": {"x": lambda x: x.repeat(2, 1, 1, 1)},
    "values of more components": {"x": lambda x: x.repeat(1, 2, 1, 1)},
    "values of another type": {"x": lambda x: x.double()},
    "values without components": {"x": lambda x: x.flatten()},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_the_operators_refuse_what_they_would_read_or_write_beyond(changes: Changes) -> None:
    quantizer = Quantizer(
        torch.tensor([0.5, 1.0, 0.25]),
        torch.tensor([-3, 0, -2], dtype=torch.int32),
        torch.tensor([4, 15, -2], dtype=torch.int32),
        (3, 4, 0),
    )
    x = quantizer.values(2, (4, 5))
    arguments: dict[str, object] = dict(zip(("step", "q_min", "q_max"), quantizer, strict=False))
    arguments |= {"x": x, "bit_widths": [3, 4, 0], "packed": quantize_pack(x, *quantizer)}
    for name, change in changes.items():
        arguments[name] = change(cast(Tensor, arguments[name]))
    before = {name: value.clone() for name, value in arguments.items() if isinstance(value, Tensor)}
    pack, unpack = torch.ops.actpress.quantize_pack, torch.ops.actpress.unpack_dequantize
    with pytest.raises(StreamError, match="expected"):
        pack(*(arguments[name] for name in ("x", "step", "q_min", "q_max", "bit_widths", "packed")))
    gaps = isinstance(packed := arguments["packed"], Tensor) and not packed.is_contiguous()
    if not {"q_max"} & set(changes) and not gaps:  # which unpacking can do without
        with pytest.raises(StreamError, match="expected"):
            unpack(*(arguments[name] for name in ("packed", "step", "q_min", "bit_widths", "x")))
    assert all(cast(Tensor, arguments[name]).equal(value) for name, value in before.items())


def test_unpacking_does_not_fill_a_tensor_with_gaps() -> None:
    quantizer = Quantizer.drawn((3, 4))
    x = quantizer.values(2, (4, 5))
    packed = quantize_pack(x, *quantizer)
    gaps = torch.zeros(2, 4, 5, 2).permute(0, 3, 1, 2)
    with pytest.raises(StreamError, match="contiguous, on cpu"):
        torch.ops.actpress.unpack_dequantize(packed, *quantizer[:2], [3, 4], gaps)
    assert not gaps.any()
    wide = packed.t().contiguous().t()
    out = torch.empty_like(x)
    torch.ops.actpress.unpack_dequantize(wide, *quantizer[:2], [3, 4], out)
    assert out.equal(unpack_dequantize(packed, *quantizer[:2], (3, 4), (4, 5)))


class Packs(nn.Module):
    """Quantizes by way of bytes."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, x: Tensor) -> Tensor:
        step, q_min, _, widths = self.quantizer
        packed = quantize_pack(x, *self.quantizer)
        return 2 * unpack_dequantize(packed, step, q_min, widths, x.shape[2:])


def test_the_operators_keep_the_rules_of_torch() -> None:
    quantizer = Quantizer.drawn((3, 3, 6))
    step, q_min, _, widths = quantizer
    x = quantizer.values(2, (4, 5))
    packed = quantize_pack(x, *quantizer)
    pack, unpack = torch.ops.actpress.quantize_pack, torch.ops.actpress.unpack_dequantize
    torch.library.opcheck(pack.default, (x, *quantizer, packed))
    torch.library.opcheck(unpack.default, (packed, step, q_min, widths, x))


def test_a_module_that_packs_compiles_and_exports() -> None:
    module = Packs(Quantizer.drawn((3, 3, 6)))
    x = module.quantizer.values(2, (4, 5))
    expected = module(x)
    assert torch.compile(module, fullgraph=True, backend="aot_eager")(x).equal(expected)
    images = torch.export.Dim("images", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: images},))
    more = module.quantizer.values(7, (4, 5), seed=3)
    assert program.module()(more).equal(module(more))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA can use")
@pytest.mark.parametrize("bit_widths", [(width,) for width in range(9)] + [(3, 3, 0, 8, 1, 1)])
@pytest.mark.parametrize("spatial", [(), (3,), (64,), (31, 33), (300, 300)])
def test_the_gpu_gives_the_bytes_of_the_reference(
    bit_widths: tuple[int, ...], spatial: tuple[int, ...]
) -> None:
    pytest.importorskip("triton", reason="packing on a GPU runs in Triton")
    quantizer = Quantizer.drawn(bit_widths)
    x = quantizer.values(3, spatial)
    step, q_min, q_max = (tensor.cuda() for tensor in quantizer[:3])
    packed = quantize_pack(x.cuda(), step, q_min, q_max, bit_widths)
    assert packed.cpu().equal(quantize_pack_reference(x, *quantizer))
    values = unpack_dequantize(packed, step, q_min, bit_widths, spatial).cpu()
    expected = unpack_dequantize(packed.cpu(), *quantizer[:2], bit_widths, spatial)
    assert values.equal(expected)


INTERPRETED = """
import torch
from actpress.kernels import quantize_pack_reference, unpack_dequantize_reference, pack_triton
from actpress.kernels.pack_reference import symbol_bounds

for bit_widths in ((1,), (5,), (8,), (3, 3, 0, 7, 1, 1)):
    k = len(bit_widths)
    q_min = torch.arange(k, dtype=torch.int32) - 3
    q_max = q_min + 2 ** torch.tensor(bit_widths, dtype=torch.int32) - 1
    step = torch.linspace(0.3, 1.7, k)
    for positions in (1, 100, 1024, 1500):
        x = 40 * torch.randn(2, k, positions)
        x[0, 0, 0] = float("nan")
        expected = quantize_pack_reference(x, step, q_min, q_max, bit_widths)
        packed, values = torch.zeros_like(expected), torch.zeros_like(x)
        bounds = symbol_bounds(q_min, q_max, bit_widths)
        pack_triton.pack_parts(x, step, *bounds, bit_widths, packed)
        assert packed.equal(expected), (bit_widths, positions)
        pack_triton.unpack_parts(packed, step, bounds[0], bit_widths, values)
        unpacked = unpack_dequantize_reference(packed, step, q_min, bit_widths, positions)
        assert values.equal(unpacked), (bit_widths, positions)
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton and its interpreter")
def test_the_gpu_kernels_give_the_bytes_of_the_reference_when_interpreted() -> None:
    """In a process of its own, as Triton decides when it is imported."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", INTERPRETED], env=environment, check=True)  # noqa: S603

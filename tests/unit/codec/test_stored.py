"""Numbers of matrices as they are stored."""

import pytest
import torch

from actpress.codec.transform.stored import quantize_rows
from actpress.plan import NumberBits


@pytest.mark.parametrize("number_bits", [NumberBits.NIBBLE, NumberBits.BYTE])
def test_what_was_rounded_once_stays_as_it_is(number_bits: NumberBits) -> None:
    rows = torch.randn(500, 8) * 10.0 ** torch.linspace(-20, 20, 500)[:, None]
    rows[7] = 0.0
    numbers, scales = quantize_rows(rows, number_bits)
    once = numbers.float() * scales.float()[:, None]
    again, scales_again = quantize_rows(once, number_bits)
    assert again.equal(numbers)
    assert scales_again.equal(scales)
    step = scales.float()[:, None]
    assert ((once - rows).abs() <= 0.51 * step + 1e-30).all(), "half a step, and no more"

"""The benchmark of hostile streams, in small: see benchmarks/mutations.py."""

import random
from typing import cast

from actpress.bitstream import ContextCoder, RansCoder
from benchmarks.mutations import MUTATIONS, accident, pressed_network, run


def test_every_accident_is_refused_and_no_forgery_does_worse_than_decode() -> None:
    result = run(600, seed=1)
    refused = cast(dict[str, int], result["refused"])
    assert sum(refused.values()) + cast(int, result["forgeries_decoded"]) == 600
    assert sum(refused.values()) > 400
    assert cast(float, result["slowest_s"]) < 5
    assert cast(int, result["peak_bytes"]) < 1 << 27


def test_both_entropy_coders_are_attacked() -> None:
    pressed, _ = pressed_network()
    coders = [type(codec.coder()) for codec in pressed.codecs.values()]
    assert coders == [ContextCoder, RansCoder]


def test_every_mutation_changes_something() -> None:
    whole = random.Random(0).randbytes(500)
    for mutate in MUTATIONS:
        data = bytearray(whole)
        mutate(data, random.Random(1))
        assert data != whole
    assert accident(whole, random.Random(2)) != whole

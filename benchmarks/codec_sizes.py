"""Size of the same symbols under our stream and under other coders."""

from collections import Counter
from collections.abc import Callable

import blosc2
import numpy as np
import torch
import zstandard

from actpress.bitstream import Coder, ExtendedBitPlaneCoder, ZeroRunCoder, ZeroValueCoder
from actpress.bitstream.baselines import word_bits_of
from actpress.codec import Packing, SiteCodec
from benchmarks.codec_sites import VARIANT, Coded, Symbols
from benchmarks.store import Row

LEVEL = 9
"""Of zstd, alone and in blosc2."""

HARDWARE: dict[str, Callable[[int], Coder]] = {
    "zero_run_length": ZeroRunCoder,
    "zero_value": ZeroValueCoder,
    "ebpc": ExtendedBitPlaneCoder,
}


def measure_sizes(name: str, coded: Coded) -> Row:
    """Bits per symbol of every coder, over all sites; each site is coded by itself.

    Hardware coders and general ones get the shortest words that hold a site's range; ours are whole
    records, checksums and shapes included.
    """
    sizes: Counter[str] = Counter()
    symbols = 0
    for codec, q in coded.symbols():
        symbols += q.size
        sizes["ours"] += len(codec.write_symbols(torch.from_numpy(q)))
        flat = q.reshape(q.shape[0], q.shape[1], -1)
        sizes["packed"] += len(q) * Packing.of(codec).bytes_per_image(flat.shape[2])
        words = _words(codec, q)
        sizes["zstd"] += len(zstandard.ZstdCompressor(level=LEVEL).compress(words.tobytes()))
        sizes["blosc2"] += _blosc2_bytes(words)
        word_bits = word_bits_of(_ends(codec))
        for label, make in HARDWARE.items():
            sizes[label] += len(make(word_bits).encode(flat))
    return {
        "model": name,
        "method": "sizes",
        "variant": VARIANT,
        "seed": 0,
        "symbols": symbols,
        "bits_per_symbol": {label: 8 * size / symbols for label, size in sizes.items()},
    }


def _ends(codec: SiteCodec) -> Symbols:
    """Lowest and highest symbol of a site."""
    return np.array([int(codec.q_min.min()), int(codec.q_max.max())], np.int32)


def _words(codec: SiteCodec, q: Symbols) -> np.ndarray:
    return q.astype(np.int8 if word_bits_of(_ends(codec)) <= 8 else np.int16)


def _blosc2_bytes(words: np.ndarray) -> int:
    """Bit shuffle, then zstd."""
    return len(
        blosc2.compress2(
            words,
            typesize=words.itemsize,
            clevel=LEVEL,
            codec=blosc2.Codec.ZSTD,
            filters=[blosc2.Filter.BITSHUFFLE],
            nthreads=1,
        )
    )

"""Coders that hardware uses for feature maps: zero runs, zero values, extended bit planes.

They know nothing but the number of bits of a word, and are what entropy coding is measured against.
Each is an exact pair `encode` / `decode`, as `RansCoder` is; `size_bits` counts what was written.
"""

from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actpress.errors import StreamError

Symbols = NDArray[np.int32]
Shape = tuple[int, ...]


class Coder(Protocol):
    """Symbols to bytes and back."""

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of symbols."""

    def decode(self, payload: bytes, shape: Shape) -> Symbols:
        """The symbols again."""


def size_bits(coder: Coder, symbols: Symbols) -> int:
    """What a coder writes for symbols."""
    return 8 * len(coder.encode(symbols))


def word_bits_of(symbols: Symbols) -> int:
    """Bits of the shortest word, in two's complement, that holds every symbol; at least 2."""
    low, high = int(symbols.min(initial=0)), int(symbols.max(initial=0))
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0, 1) + 1


@dataclass(frozen=True)
class ZeroValueCoder:
    """Zero-value compression: a bit per word that tells zeros, and the words that are not.

    Rhu et al. 2018 (cDMA), HPCA; maps of 32 words.

    Attributes:
        word_bits: bits of a word, 2 to 24.
    """

    word_bits: int

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of symbols of any shape, int32.

        Raises:
            StreamError: a symbol needs more bits.
        """
        from actpress.kernels.baseline_loops import encode_zero_values  # noqa: PLC0415 - slow

        words = _words(symbols, self.word_bits)
        data = np.zeros(len(words) * (self.word_bits + 1) // 8 + 8, np.uint8)
        return _cut(data, encode_zero_values(words, self.word_bits, data))

    def decode(self, payload: bytes, shape: Shape) -> Symbols:
        """The symbols again.

        Raises:
            StreamError: the payload is damaged.
        """
        from actpress.kernels.baseline_loops import decode_zero_values  # noqa: PLC0415 - slow

        words = np.empty(prod(shape), np.int32)
        data = np.frombuffer(payload, np.uint8)
        _check_end(data, decode_zero_values(data, self.word_bits, words))
        return words.reshape(shape)


@dataclass(frozen=True)
class ZeroRunCoder:
    """Zero-run-length encoding: 1 and a word, or 0 and the length of a run of zeros.

    As in Eyeriss (Chen et al. 2016, ISCA), with the flag of Cavigelli et al. 2019 instead of pairs.

    Attributes:
        word_bits: bits of a word, 2 to 24.
        run_bits: bits of a length; 4 are runs of at most 16 zeros.
    """

    word_bits: int
    run_bits: int = 4

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of symbols of any shape, int32.

        Raises:
            StreamError: a symbol needs more bits.
        """
        from actpress.kernels.baseline_loops import encode_zero_runs  # noqa: PLC0415 - slow

        words = _words(symbols, self.word_bits)
        data = np.zeros(len(words) * (max(self.word_bits, self.run_bits) + 1) // 8 + 8, np.uint8)
        return _cut(data, encode_zero_runs(words, self.word_bits, self.run_bits, data))

    def decode(self, payload: bytes, shape: Shape) -> Symbols:
        """The symbols again.

        Raises:
            StreamError: the payload is damaged.
        """
        from actpress.kernels.baseline_loops import decode_zero_runs  # noqa: PLC0415 - slow

        words = np.empty(prod(shape), np.int32)
        data = np.frombuffer(payload, np.uint8)
        _check_end(data, decode_zero_runs(data, self.word_bits, self.run_bits, words))
        return words.reshape(shape)


@dataclass(frozen=True)
class ExtendedBitPlaneCoder:
    """EBPC: where the words are not zero by zero runs, the words by bit-plane compression.

    Cavigelli, Rutishauser and Benini 2019, arXiv 1908.11645, on the bit planes of Kim et al. 2016
    (ISCA): the planes of seven differences, each XORed with the one above, in the codes of the
    authors' hardware (github.com/pulp-platform/stream-ebpc):

    ```
    one zero plane         01           |  plane itself zero  00001
    2 or more zero planes  001 + count  |  two adjacent ones  00010 + position
    all ones               00000        |  a single one       00011 + position
    anything else          1 + plane    |
    ```

    The papers leave open how a last, shorter block is filled: here its last word is repeated.

    Attributes:
        word_bits: bits of a word, 2 to 24.
        run_bits: bits of the length of a run of zeros.
    """

    word_bits: int
    run_bits: int = 4

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of symbols of any shape, int32.

        Raises:
            StreamError: a symbol needs more bits.
        """
        from actpress.kernels.baseline_loops import (  # noqa: PLC0415 - slow
            encode_bit_planes,
            encode_zero_runs,
        )

        words = _words(symbols, self.word_bits)
        data = np.zeros(len(words) * (2 * self.word_bits + self.run_bits + 4) // 8 + 64, np.uint8)
        at = encode_zero_runs(words, 0, self.run_bits, data)
        kept = words[words != 0]
        kept = np.pad(kept, (0, -len(kept) % 8), mode="edge") if len(kept) else kept
        return _cut(data, encode_bit_planes(kept, self.word_bits, self._plane_bits, data, at))

    def decode(self, payload: bytes, shape: Shape) -> Symbols:
        """The symbols again.

        Raises:
            StreamError: the payload is damaged.
        """
        from actpress.kernels.baseline_loops import (  # noqa: PLC0415 - slow
            decode_bit_planes,
            decode_zero_runs,
        )

        words = np.empty(prod(shape), np.int32)
        data = np.frombuffer(payload, np.uint8)
        at = decode_zero_runs(data, 0, self.run_bits, words)
        count = np.count_nonzero(words)
        kept = np.empty(count + -count % 8, np.int32)
        _check_end(data, decode_bit_planes(data, at, self.word_bits, self._plane_bits, kept))
        words[words != 0] = kept[:count]
        return words.reshape(shape)

    @property
    def _plane_bits(self) -> int:
        """Of a count of zero planes: 2 to word_bits + 1 of them."""
        return (self.word_bits - 1).bit_length()


def _words(symbols: Symbols, word_bits: int) -> Symbols:
    needed = word_bits_of(symbols)
    if needed > word_bits:
        raise StreamError(f"a symbol needs {needed} bits, the coder's words have {word_bits}")
    return np.ascontiguousarray(symbols, np.int32).ravel()


def _cut(data: NDArray[np.uint8], bits: int) -> bytes:
    return data[: -(-bits // 8)].tobytes()


def _check_end(data: NDArray[np.uint8], bits: int) -> None:
    if -(-bits // 8) != len(data):
        raise StreamError(
            f"the payload is damaged: it has {len(data)} bytes, its symbols take {-(-bits // 8)}"
        )

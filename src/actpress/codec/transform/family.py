"""The interface of a family of transforms, and what one of them costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from actpress.codec.transform.basis import Basis, Moments

Factors = Mapping[str, Tensor]
"""Numbers that are stored, by name: float matrices (r, s) and vectors (s,), int64 indices (s,)."""


@dataclass(frozen=True)
class Size:
    """Numbers that a projection of rank k stores, and its arithmetic.

    A matrix has `rows` scales besides, where its numbers have fewer than 16 bits.

    Attributes:
        encoder, decoder, shared: numbers of matrices that the encoder alone needs, the decoder
            alone, or both.
        encoder_rows, decoder_rows, shared_rows: rows of these matrices.
        vectors: numbers of 16 bits besides, needed by both.
        encoder_macs, decoder_macs: multiply-accumulates per block.
    """

    encoder: int = 0
    decoder: int = 0
    shared: int = 0
    encoder_rows: int = 0
    decoder_rows: int = 0
    shared_rows: int = 0
    vectors: int = 0
    encoder_macs: int = 0
    decoder_macs: int = 0


class Family(Protocol):
    """One way to turn the K = c * b^2 values of a block of pixels into components.

    A family is a value without state. Adding one to `registry.FAMILIES` is all that a new transform
    takes: searches, pressing, storing and counting ask this interface.
    """

    @property
    def name(self) -> str:
        """In plans."""

    @property
    def fitted(self) -> bool:
        """Whether calibration decides it, so that its variances are a spectrum."""

    @property
    def needs_metric(self) -> bool:
        """Whether `Moments.metric` must be there."""

    @property
    def trained(self) -> bool:
        """Whether encoder and decoder are free numbers that training may change."""

    def refuses(self, channels: int, block: int) -> str | None:
        """Why a site of so many channels in blocks of so many pixels cannot take it, or None."""

    def fit(self, moments: Moments) -> Basis:
        """The whole basis, strongest component first.

        Raises:
            CalibrationError: moments that are not finite or not symmetric, or lack the metric.
        """

    def stored(self, basis: Basis) -> Factors:
        """What is stored to run some components, as `Basis.select` gives them."""

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        """Encoder (k, K) and decoder (K, k), float32, of what is stored."""

    def size(self, channels: int, block: int, rank: int) -> Size:
        """Numbers and arithmetic of so many components."""

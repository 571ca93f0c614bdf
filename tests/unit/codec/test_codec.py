"""Bases, projections and codecs at their edges (what holds always: tests/laws)."""

import math

import pytest
import torch

from actpress.codec import (
    FAMILIES,
    Basis,
    LinearProjection,
    Moments,
    NetworkTables,
    SiteCodec,
    entropy_bits,
    family_of,
)
from actpress.codec.ranges import widths_of
from actpress.codec.transform.formula import dct_matrix, hadamard_matrix
from actpress.errors import CalibrationError
from actpress.plan import NumberBits, Transform


def fit_basis(
    transform: str, covariance: torch.Tensor, metric: torch.Tensor | None = None, *, block: int = 1
) -> Basis:
    moments = Moments(covariance, metric, len(covariance) // block**2, block)
    return family_of(transform).fit(moments)


def projection_of(
    basis: Basis, mean: torch.Tensor, rank: int, number_bits: NumberBits = NumberBits.BYTE
) -> LinearProjection:
    kept = basis.select(range(rank))
    return LinearProjection(family_of("learned"), kept, mean, number_bits=number_bits)


@pytest.mark.parametrize("transform", FAMILIES)
def test_equal_statistics_give_equal_bytes(transform: str) -> None:
    x = torch.randn(8, 40, dtype=torch.float64)
    covariance = x @ x.T
    block = 2 if transform == Transform.HAAR_PCA else 1
    if transform == Transform.BLOCK_PCA:
        covariance = torch.kron(covariance, torch.eye(4, dtype=torch.float64))
    first, second = (
        fit_basis(transform, matrix, matrix @ matrix, block=block)
        for matrix in (covariance, covariance.clone())
    )
    assert first.vectors.numpy().tobytes() == second.vectors.numpy().tobytes()
    assert first.variances.numpy().tobytes() == second.variances.numpy().tobytes()


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [
        (torch.ones(2, 3), r"must be square, got shape \(2, 3\)"),
        (torch.full((2, 2), float("nan")), "must be finite; check the calibration images"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "must be symmetric"),
    ],
)
def test_no_covariance_is_refused(matrix: torch.Tensor, complaint: str) -> None:
    with pytest.raises(CalibrationError, match=complaint):
        fit_basis(Transform.PCA, matrix.double())


def test_formulas_by_hand() -> None:
    half = math.sqrt(0.5)
    expected = torch.tensor([[half, half], [half, -half]], dtype=torch.float64)
    torch.testing.assert_close(dct_matrix(2), expected)
    torch.testing.assert_close(hadamard_matrix(2), expected)
    assert hadamard_matrix(6).count_nonzero() == 12, "three blocks of two"
    assert hadamard_matrix(3).equal(torch.eye(3, dtype=torch.float64))


def test_pca_finds_the_direction_of_the_data() -> None:
    covariance = torch.tensor([[2.0, -2.0], [-2.0, 2.0]], dtype=torch.float64)
    basis = fit_basis(Transform.PCA, covariance)
    torch.testing.assert_close(
        basis.variances, torch.tensor([4.0, 0.0]).double(), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(basis.vectors[0].abs(), torch.full((2,), math.sqrt(0.5)).double())


def test_projections_take_the_bits_that_were_asked() -> None:
    basis = fit_basis(Transform.PCA, torch.eye(4, dtype=torch.float64) / 3)
    mean = torch.full((4,), 1 / 3)
    for number_bits, matrices in (
        (NumberBits.HALF, 16 * 16),
        (NumberBits.BYTE, 8 * 16 + 16 * (2 + 4)),
        (NumberBits.NIBBLE, 4 * 16 + 16 * (2 + 4)),
    ):
        codec = SiteCodec(
            projection_of(basis, mean, 2, number_bits),
            torch.ones(2),
            torch.full((2,), -2),
            torch.full((2,), 1),
        )
        constants, quantizers = 16 * (4 + 4), 16 + 24
        assert codec.parameter_bits() == matrices + constants + quantizers
        assert codec.projection.stored().bits() == matrices
    folded = codec.parameter_bits(encoder=False)
    assert folded == 4 * 8 + 16 * 4 + 16 * 4 + quantizers, "the decoder, its scales, the offset"


def test_one_matrix_is_stored_where_the_decoder_is_the_transpose() -> None:
    basis = fit_basis(Transform.PCA, torch.eye(4, dtype=torch.float64))
    projection = LinearProjection(family_of("pca"), basis.select(range(2)), torch.zeros(4))
    assert list(projection.stored().numbers) == ["vectors"]
    assert projection.decoder.equal(projection.encoder.T)
    assert projection.stored().numbers["vectors"].dtype == torch.int8


def test_what_half_precision_cannot_hold_is_stored_whole_and_counts_twice() -> None:
    basis = fit_basis(Transform.PCA, torch.eye(4, dtype=torch.float64))
    mean = torch.tensor([-1e5, 1e5, 0.1, 3e38])
    projection = projection_of(basis, mean, 2)
    assert projection.mean.equal(mean)
    assert projection.offset.equal(mean)
    assert projection.constant_bits() == (32 * 4, 32 * 4)


def test_a_metric_of_zeros_is_that_of_values_nothing_depends_on() -> None:
    covariance = torch.tensor([[2.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    plain = fit_basis(Transform.PCA, covariance)
    for tiny in (0.0, 5e-324):
        metric = torch.eye(2, dtype=torch.float64) * tiny
        basis = fit_basis(Transform.FISHER_PCA, covariance, metric)
        alike = basis.vectors / basis.vectors.norm(dim=1, keepdim=True)
        torch.testing.assert_close(alike, plain.vectors)
        torch.testing.assert_close(basis.inverse @ basis.vectors, torch.eye(2).double())


def test_values_too_far_apart_to_be_squared_are_called_so() -> None:
    with pytest.raises(CalibrationError, match=r"deviate by 1\.0e\+19 from their mean, too far"):
        fit_basis(Transform.PCA, torch.eye(2, dtype=torch.float64) * 1e38)


def test_projections_have_no_gradient_until_asked() -> None:
    basis = Basis(torch.eye(2).double(), torch.ones(2).double(), torch.eye(2).double())
    projection = projection_of(basis, torch.zeros(2), 1)
    assert not any(parameter.requires_grad for parameter in projection.parameters())


def codec_of_two() -> SiteCodec:
    basis = Basis(torch.eye(2).double(), torch.ones(2).double(), torch.eye(2).double())
    projection = projection_of(basis, torch.zeros(2), 2, NumberBits.HALF).requires_grad_(True)
    return SiteCodec(projection, torch.ones(2), torch.full((2,), -2), torch.full((2,), 1))


def test_gradients_pass_the_rounding_and_stop_at_the_clamp() -> None:
    codec = codec_of_two()
    x = torch.tensor([[0.4, 5.0], [-0.6, -9.0]], requires_grad=True)
    x_hat, rate = codec(x)
    assert x_hat.tolist() == [[0.0, 1.0], [-1.0, -2.0]]
    x_hat.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert rate.requires_grad


def test_the_smooth_rate_grows_with_the_signal_and_costs_nothing_without_gradients() -> None:
    codec = codec_of_two()
    x = torch.randn(8, 2, 3, 3)
    quiet, loud = codec(x).rate_bits, codec(4 * x).rate_bits
    assert 0 < quiet.item() < loud.item() < 9 * 2 * 8
    with torch.no_grad():
        assert codec(x).rate_bits == 0


def test_tables_by_hand() -> None:
    codec = codec_of_two()
    assert not codec.has_tables
    frequencies = torch.tensor([[3072, 512, 0], [0, 4000, 0]])
    table_of = torch.tensor([[0] * 25, [1] * 25], dtype=torch.uint8)
    tables = NetworkTables(frequencies, -1, table_of)
    codec.set_tables(tables, torch.tensor([0, 1]))
    codec.narrow(torch.tensor([-1, 0]), torch.tensor([1, 0]))
    assert codec.has_tables
    assert codec.fixed_bits().tolist() == [2, 0]
    entries, ends = 2 + 1, 2 * 2
    assert tables.bits() == 16 * (entries + ends + 2) + 8 * 50
    assert codec.class_bits() == 8, "two indices of one bit, in whole bytes"
    lengths = codec.code_lengths_bits()[:, 7]
    assert lengths[0, :2].tolist() == pytest.approx([math.log2(4 / 3), 3])
    assert lengths[0, 2].item() == pytest.approx(3 + 2), "the escape, and one of three levels"
    assert lengths[1, 1].item() == pytest.approx(math.log2(4096 / 4000))


def test_entropy_and_widths_by_hand() -> None:
    counts = torch.tensor([[1, 1, 1, 1], [7, 0, 0, 0], [2, 0, 1, 1]])
    assert entropy_bits(counts).tolist() == pytest.approx([2.0, 0.0, 1.5])
    low, high = torch.tensor([0, -1, -4, -128]), torch.tensor([0, 1, 3, 127])
    assert widths_of(low, high).tolist() == [0, 2, 3, 8]


def test_autocast_does_not_reach_the_symbols() -> None:
    codec = codec_of_two().eval()
    x = 50 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x_hat, q = codec(x).x_hat, codec.encode(x)
        decoded = codec.decode(q)
    assert x_hat.dtype == decoded.dtype == torch.float32
    assert x_hat.equal(codec(x).x_hat)
    assert q.equal(codec.encode(x))
    assert decoded.equal(x_hat)

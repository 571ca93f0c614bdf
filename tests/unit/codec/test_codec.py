"""Bases, projections and codecs at their edges (what holds always: tests/laws)."""

import math

import pytest
import torch

from actpress.codec import (
    Basis,
    LinearProjection,
    SiteCodec,
    code_lengths_bits,
    dct_matrix,
    entropy_bits,
    fit_basis,
    fit_code_tables,
    fixed_bits,
    hadamard_matrix,
)
from actpress.errors import CalibrationError
from actpress.plan import Transform


@pytest.mark.parametrize("transform", Transform)
def test_equal_statistics_give_equal_bytes(transform: Transform) -> None:
    x = torch.randn(7, 40, dtype=torch.float64)
    covariance = x @ x.T
    first, second = (
        fit_basis(transform, matrix, matrix @ matrix) for matrix in (covariance, covariance.clone())
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


def test_what_is_stored_fits_half_precision() -> None:
    basis = fit_basis(Transform.PCA, torch.eye(4, dtype=torch.float64) / 3)
    projection = LinearProjection(basis, torch.full((4,), 1 / 3), 2)
    for tensor in projection.state_dict().values():
        assert tensor.equal(tensor.half().float())
    assert projection.parameter_count() == 2 * 8 + 2 * 4
    assert projection.macs_per_block() == (8, 8)
    assert LinearProjection(basis, torch.zeros(4), 2, stored=False).parameter_count() == 8


def test_what_half_precision_cannot_hold_is_stored_whole_and_counts_twice() -> None:
    basis = fit_basis(Transform.PCA, torch.eye(4, dtype=torch.float64))
    mean = torch.tensor([-1e5, 1e5, 0.1, 3e38])
    projection = LinearProjection(basis, mean, 2)
    assert projection.mean.equal(mean)
    assert projection.offset.equal(mean)
    assert projection.parameter_count() == 2 * 8 + 2 * 2 * 4


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
    projection = LinearProjection(basis, torch.zeros(2), 1)
    assert not any(parameter.requires_grad for parameter in projection.parameters())


def codec_of_two() -> SiteCodec:
    basis = Basis(torch.eye(2).double(), torch.ones(2).double(), torch.eye(2).double())
    projection = LinearProjection(basis, torch.zeros(2), 2).requires_grad_(True)
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


def test_tables_and_parameters_by_hand() -> None:
    codec = codec_of_two()
    assert not codec.has_tables
    counts = torch.tensor([[[6, 2, 0]], [[0, 8, 0]]])
    tables, bits = fit_code_tables(counts)
    codec.set_tables(tables, torch.tensor([-1, 0]), torch.tensor([1, 0]))
    assert codec.has_tables
    assert codec.fixed_bits().tolist() == [2, 0]
    assert codec.parameter_bits() == 16 * (4 + 4 + 2 + 2 + 3 * 2)
    entries, ends, names = 2 + 1, 2 * 2, 2
    assert codec.table_bits() == 16 * (entries + ends) + 8 * names
    lengths = codec.code_lengths_bits()[:, 0]
    assert lengths[0, :2].tolist() == pytest.approx([math.log2(10 / 6), math.log2(10 / 2)])
    assert lengths[0, 2].item() == pytest.approx(math.log2(10 / 2) + 2), "one of three levels"
    assert lengths[1, 1].item() == pytest.approx(math.log2(9 / 8))
    assert bits == pytest.approx(6 * lengths[0, 0] + 2 * lengths[0, 1] + 8 * lengths[1, 1])


def test_a_table_needs_symbols() -> None:
    with pytest.raises(CalibrationError, match="no calibration symbols; calibrate with more"):
        code_lengths_bits(torch.tensor([[1, 2], [0, 0]]))


def test_entropy_and_widths_by_hand() -> None:
    counts = torch.tensor([[1, 1, 1, 1], [7, 0, 0, 0], [2, 0, 1, 1]])
    assert entropy_bits(counts).tolist() == pytest.approx([2.0, 0.0, 1.5])
    low, high = torch.tensor([0, -1, -4, -128]), torch.tensor([0, 1, 3, 127])
    assert fixed_bits(low, high).tolist() == [0, 2, 3, 8]


def test_autocast_does_not_reach_the_symbols() -> None:
    codec = codec_of_two().eval()
    x = 50 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x_hat = codec(x).x_hat
    assert x_hat.dtype == torch.float32
    assert x_hat.equal(codec(x).x_hat)

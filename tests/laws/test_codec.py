"""Laws of projection, quantizer and code tables, for any statistics and any shape."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from actpress.bitstream import scaled_frequencies
from actpress.codec import (
    IdentityProjection,
    LinearProjection,
    Moments,
    SiteCodec,
    as_blocks,
    entropy_bits,
    family_of,
    laplace_entropy_bits,
)
from actpress.codec.entropy import NetworkTables, code_lengths
from actpress.codec.transform import FAMILIES, Basis
from actpress.plan import NumberBits, Transform

assert set(Transform) - {"identity"} == set(FAMILIES)
ORTHONORMAL = ("hadamard", "dct", "pca", "block_pca", "haar_pca")


@st.composite
def covariances(draw: st.DrawFn) -> Tensor:
    """Symmetric, positive semi-definite, of any rank and of very different scales."""
    channels = draw(st.integers(1, 12))
    samples = draw(st.integers(1, 24))
    seed = draw(st.integers(0, 1000))
    scale = 10.0 ** draw(st.integers(-4, 4))
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randn(channels, samples, generator=generator, dtype=torch.float64) * scale
    return columns @ columns.T / samples


def fitted(transform: str, covariance: Tensor, metric: Tensor | None = None) -> Basis:
    """A basis of single pixels, or of blocks of 2x2 where the transform takes nothing else."""
    family, values = family_of(transform), len(covariance)
    block = 1 if family.refuses(values, 1) is None else 2
    if values % block**2 or family.refuses(values // block**2, block):
        pytest.skip(f"{transform} does not take {values} values")
    return family.fit(Moments(covariance, metric, values // block**2, block))


@st.composite
def codecs_and_inputs(draw: st.DrawFn) -> tuple[SiteCodec, Tensor]:
    channels = draw(st.integers(1, 9))
    transform = draw(st.sampled_from(Transform))
    shape = draw(st.sampled_from([(3,), (3, 5), (2, 3, 4), (2, 6, 4), (2, 2, 3, 2)]))
    identity = transform is Transform.IDENTITY
    block = 2 if shape == (2, 6, 4) and not identity else 1
    if not identity and family_of(transform).refuses(channels, block) is not None:
        transform = Transform.PCA
    rank = draw(st.integers(1, channels * block**2))
    seed = draw(st.integers(0, 1000))
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(shape[0], channels, *shape[1:], generator=generator) + 1
    if x.ndim == 4 and draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    columns = as_blocks(x, block).transpose(0, 1).flatten(1).double()
    if identity:
        kept = torch.randperm(channels, generator=generator)[:rank].sort().values
        projection: IdentityProjection | LinearProjection = IdentityProjection(channels, kept)
    else:
        metric = columns.cos() @ columns.cos().T
        moments = Moments(columns @ columns.T / columns.shape[1], metric, channels, block)
        family = family_of(transform)
        projection = LinearProjection(
            family,
            family.fit(moments).select(range(rank)),
            columns.mean(1),
            block=block,
            number_bits=draw(st.sampled_from(NumberBits)),
        )
    step = torch.rand(rank, generator=generator) + 0.05
    q_min = -torch.randint(0, 40, (rank,), generator=generator)
    q_max = q_min + torch.randint(0, 60, (rank,), generator=generator)
    return SiteCodec(projection, step, q_min, q_max).eval(), x


@pytest.mark.parametrize("transform", ORTHONORMAL)
@settings(max_examples=30, deadline=None)
@given(covariance=covariances())
def test_bases_are_orthonormal_and_ordered(transform: str, covariance: Tensor) -> None:
    basis = fitted(transform, covariance)

    identity = torch.eye(len(covariance), dtype=torch.float64)
    torch.testing.assert_close(basis.vectors @ basis.vectors.T, identity, rtol=0, atol=1e-10)
    assert (basis.variances.diff() <= 0).all()
    assert (basis.variances >= 0).all()
    own = torch.einsum("jc,cd,jd->j", basis.vectors, covariance, basis.vectors)
    scale = float(covariance.trace())
    torch.testing.assert_close(basis.variances, own, rtol=1e-9, atol=1e-12 * scale)


@settings(max_examples=30, deadline=None)
@given(covariance=covariances())
def test_pca_diagonalises_and_no_basis_packs_more(covariance: Tensor) -> None:
    pca = fitted(Transform.PCA, covariance)

    mixed = pca.vectors @ covariance @ pca.vectors.T
    off_diagonal = mixed - torch.diag(mixed.diagonal())
    assert off_diagonal.abs().max() <= 1e-10 * covariance.trace()
    largest = pca.vectors.gather(1, pca.vectors.abs().argmax(1, keepdim=True))
    assert (largest > 0).all(), "signs are normalised"
    for other in (Transform.DCT, Transform.HADAMARD):
        kept = fitted(other, covariance).variances.cumsum(0)
        assert (pca.variances.cumsum(0) >= kept - 1e-10 * covariance.trace()).all()


@settings(max_examples=30, deadline=None)
@given(covariance=covariances(), seed=st.integers(0, 100))
def test_pca_in_a_metric_can_be_inverted_and_decorrelates(covariance: Tensor, seed: int) -> None:
    size = len(covariance)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(size, size + 2, generator=generator, dtype=torch.float64)

    basis = fitted(Transform.FISHER_PCA, covariance, scores @ scores.T)

    identity = torch.eye(size, dtype=torch.float64)
    torch.testing.assert_close(basis.inverse @ basis.vectors, identity, rtol=0, atol=1e-9)
    mixed = basis.vectors @ covariance @ basis.vectors.T
    scale = float(mixed.trace())
    torch.testing.assert_close(mixed, torch.diag(basis.variances), rtol=0, atol=1e-10 * scale)
    assert (basis.variances.diff() <= 0).all()


@settings(max_examples=50, deadline=None)
@given(case=codecs_and_inputs())
def test_decoding_what_was_encoded_is_the_forward_pass(case: tuple[SiteCodec, Tensor]) -> None:
    codec, x = case

    q = codec.encode(x)
    x_hat = codec(x).x_hat

    assert q.dtype == torch.int32
    assert q.shape == (len(x), *codec.symbol_shape(x.shape[1:]))
    assert x_hat.shape == x.shape
    assert codec.decode(q).equal(x_hat)
    axes = [axis for axis in range(q.ndim) if axis != 1]
    assert (q.amin(axes) >= codec.q_min).all()
    assert (q.amax(axes) <= codec.q_max).all()
    with torch.no_grad():
        assert codec(x).x_hat.equal(x_hat)


@settings(max_examples=50, deadline=None)
@given(case=codecs_and_inputs())
def test_a_projection_is_what_its_stored_numbers_stand_for(case: tuple[SiteCodec, Tensor]) -> None:
    projection = case[0].projection
    if isinstance(projection, IdentityProjection):
        return
    stored = projection.stored()
    mean, offset = projection.stored_constants()
    again = LinearProjection.of_stored(
        projection.family,
        stored,
        mean.float(),
        offset.float(),
        rank=projection.rank,
        block=projection.block,
    )
    for name in ("encoder", "decoder", "mean", "offset"):
        assert getattr(again, name).equal(getattr(projection, name))
    size = projection.size()
    rows = size.encoder_rows + size.decoder_rows + size.shared_rows
    numbers = size.encoder + size.decoder + size.shared
    if projection.family.name != "haar_pca":  # whose rows may be fewer than its components
        held = [n for n in stored.numbers.values() if n.ndim == 2]
        assert sum(matrix.numel() for matrix in held) == numbers
        assert sum(map(len, held)) == rows
    before = {name: tensor.clone() for name, tensor in projection.state_dict().items()}
    projection.round_to_stored()
    assert all(tensor.equal(before[name]) for name, tensor in projection.state_dict().items())


@settings(max_examples=30, deadline=None)
@given(case=codecs_and_inputs())
def test_a_kept_basis_errs_by_at_most_half_a_step(case: tuple[SiteCodec, Tensor]) -> None:
    codec, x = case
    codec.q_min.fill_(-(2**15))
    codec.q_max.fill_(2**15)
    if codec.rank < x.shape[1] * codec.block**2:
        return
    if codec.projection.number_bits is NumberBits.NIBBLE:
        return  # four bits of a matrix are no basis any more
    if isinstance(codec.projection, LinearProjection):
        spread = torch.linalg.matrix_norm(codec.projection.decoder, 2)
    else:
        spread = torch.ones(())
    columns = as_blocks(codec(x).x_hat - x, codec.block).transpose(0, 1).flatten(1)

    largest = columns.square().sum(0).amax().sqrt()
    assert largest <= 0.505 * spread * codec.step.square().sum().sqrt() + 0.01 * x.abs().max()


@st.composite
def count_tables(draw: st.DrawFn) -> Tensor:
    levels = draw(st.integers(1, 30))
    row = st.lists(st.integers(0, 10**6), min_size=levels, max_size=levels).filter(any)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=4)))


def frequencies_of(counts: Tensor) -> Tensor:
    """As the network's tables hold them."""
    return torch.tensor([scaled_frequencies(row.numpy()).tolist() for row in counts])


@settings(max_examples=50, deadline=None)
@given(counts=count_tables())
def test_every_table_is_a_prefix_code(counts: Tensor) -> None:
    frequencies = frequencies_of(counts)
    lengths = code_lengths(frequencies)

    assert torch.isfinite(lengths).all()
    assert (lengths >= 0).all()
    for row, own, costs in zip(counts, frequencies, lengths, strict=True):
        seen = row > 0
        assert (own[seen] > 0).all()
        assert (own[~seen] == 0).all()
        escape = 1 - float(own.sum()) / 2**12
        assert float(torch.exp2(-costs[seen]).sum()) + escape == pytest.approx(1)
        expected = -math.log2(escape) + math.ceil(math.log2(len(row)))
        assert costs[~seen].tolist() == pytest.approx([expected] * int((~seen).sum()))


@settings(max_examples=50, deadline=None)
@given(counts=count_tables())
@example(counts=torch.tensor([[431]]))
def test_the_coder_spends_what_is_counted(counts: Tensor) -> None:
    frequencies = frequencies_of(counts)
    tables = NetworkTables(frequencies, -3, torch.zeros(1, 25, dtype=torch.uint8))
    coder, lengths = tables.coder_tables, tables.code_lengths_bits()
    for index, own in enumerate(lengths):
        assert coder.code_lengths_bits(index).tolist() == pytest.approx(own.tolist())


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_with_many_samples_tables_cost_the_entropy(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(3, 100_000, generator=generator) * scale
    symbols = torch.round(y).long() + 64
    counts = torch.stack([torch.bincount(row, minlength=128) for row in symbols])
    fresh = torch.round(torch.randn(3, 100_000, generator=generator) * scale).long() + 64

    lengths = code_lengths(frequencies_of(counts))

    on_fresh = lengths.gather(1, fresh).mean(1)
    assert torch.allclose(on_fresh, entropy_bits(counts), rtol=0.03)


@pytest.mark.parametrize("scale", [0.05, 0.2, 0.5, 1.0, 3.0, 20.0, 300.0])
def test_laplace_entropy_is_that_of_a_rounded_laplace_variable(scale: float) -> None:
    q = torch.arange(1, 40_000, dtype=torch.float64)
    edge = torch.tensor(scale, dtype=torch.float64)
    tail = 0.5 * (torch.exp(-(q - 0.5) / edge) - torch.exp(-(q + 0.5) / edge))
    zero = 1 - torch.exp(-0.5 / edge)
    surprise = -2 * (tail * tail.clamp(min=1e-300).log2()).sum() - zero * zero.log2()

    mean_abs = torch.tensor(scale, requires_grad=True)
    bits = laplace_entropy_bits(mean_abs)
    bits.backward()

    assert bits.item() == pytest.approx(float(surprise), rel=2e-3, abs=1e-6)
    assert mean_abs.grad is not None
    assert math.isfinite(mean_abs.grad.item())
    assert mean_abs.grad.item() > 0


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(0, 1e6))
def test_laplace_entropy_is_finite_everywhere(scale: float) -> None:
    mean_abs = torch.tensor(scale, requires_grad=True)
    bits = laplace_entropy_bits(mean_abs)
    bits.backward()

    assert 0 <= bits.item() < 40
    assert mean_abs.grad is not None
    assert math.isfinite(mean_abs.grad.item())

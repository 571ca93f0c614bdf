"""Laws of tallying many states at once, and of gradients handed out on the way back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actpress.calibration import visit_gradients
from actpress.graph import GradientWatch, capture
from actpress.kernels import CONTEXTS, Columns, tally_states, tally_states_reference
from actpress.plan import Placement

SHAPES = st.sampled_from([(3, 5), (2, 4, 7), (4, 3, 5, 3), (2, 6, 1, 1), (1, 2, 9, 8)])


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    seed=st.integers(0, 1000),
    channels_last=st.booleans(),
    data=st.data(),
)
def test_a_compiled_tally_is_the_definition(
    shape: tuple[int, ...],
    seed: int,
    channels_last: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    y, pull = (torch.randn(shape, generator=generator) for _ in range(2))
    if channels_last and y.ndim == 4:
        y = y.contiguous(memory_format=torch.channels_last)
    steps = torch.rand(3, shape[1], generator=generator) + 0.05
    ranks = [data.draw(st.integers(1, shape[1])) for _ in steps]
    q = torch.round(y[None] / steps.reshape(3, 1, shape[1], *[1] * (y.ndim - 2)))
    lowest, levels = q.flatten(1).amin(1).long(), (q.amax() - q.amin()).long() + 1
    contexts = torch.tensor([1, 1 if y.ndim == 2 else CONTEXTS, 1])
    columns = Columns(lowest, torch.stack([levels, levels, levels * 0]), contexts)

    counted = data.draw(st.integers(0, shape[0]))

    found = tally_states(y, pull, steps, ranks, columns, counted)

    expected = tally_states_reference(y, pull, steps, ranks, columns, counted)
    torch.testing.assert_close(found.squared, expected.squared, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.pulled, expected.pulled, rtol=1e-4, atol=1e-5)
    for own, other in zip(found.counts[:2], expected.counts[:2], strict=True):
        assert own is not None
        assert other is not None
        assert own.equal(other)
        assert int(own.sum()) == y[:counted, 0].numel() * len(own)
    assert found.counts[2] is None


class Branching(nn.Module):
    """One of the two branches does not reach the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return torch.relu(self.second(x)).mean((2, 3))


def test_gradients_of_both_values_of_a_site_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    model, x = Branching(), torch.randn(4, 1, 8, 8)
    graph = capture(model, x)
    wanted = [(site.name, place) for site in graph.sites for place in Placement]
    seen: dict[tuple[str, Placement], tuple[Tensor, Tensor]] = {}

    def visit(name: str, placement: Placement, value: Tensor, gradient: Tensor) -> None:
        seen[name, placement] = value.clone(), gradient.clone()

    GradientWatch(graph, wanted).visit(x, lambda output: output.square().sum(), visit)

    before = model.first(x).detach().requires_grad_()
    after = torch.relu(before)
    after.retain_grad()
    torch.relu(model.second(after)).mean((2, 3)).square().sum().backward()
    name = graph.sites[0].name
    for placement, value in ((Placement.PRE_ACT, before), (Placement.POST_ACT, after)):
        torch.testing.assert_close(seen[name, placement][0], value.detach())
        torch.testing.assert_close(seen[name, placement][1], value.grad)
    assert all(parameter.grad is None for parameter in graph.root.parameters())


def test_what_the_score_does_not_depend_on_has_no_gradient() -> None:
    x = torch.randn(4, 1, 8, 8)
    graph = capture(Branching(), x)
    wanted = [(graph.sites[0].name, Placement.POST_ACT)]
    gradients = []
    GradientWatch(graph, wanted).visit(
        x, lambda output: (0 * output).sum(), lambda *seen: gradients.append(seen[3])
    )
    assert len(gradients) == 1
    assert not gradients[0].any()


@pytest.mark.parametrize("parts", [1, 2])
def test_every_batch_is_visited(parts: int) -> None:
    x = torch.randn(4, 1, 8, 8)
    graph = capture(Branching(), x)
    images = []
    wanted = [(site.name, Placement.PRE_ACT) for site in graph.sites]
    batches = visit_gradients(
        graph, x.chunk(parts), wanted, lambda *seen: images.append(len(seen[2])), seed=0
    )
    assert [len(batch) for batch in batches] == [len(batch) for batch in x.chunk(parts)]
    assert sum(images) == len(x) * len(wanted)

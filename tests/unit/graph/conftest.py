"""Codecs that change nothing or something visible, and a comparison of two networks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from actpress.graph import Graph, RewrittenNetwork, capture, insert_codecs
from actpress.plan import Placement


class IdentityCodec(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


def rewrite_with_identity(graph: Graph, placement: Placement) -> RewrittenNetwork:
    codecs = {site.name: IdentityCodec() for site in graph.sites}
    return insert_codecs(graph, codecs, dict.fromkeys(codecs, placement))


def assert_unchanged(model: nn.Module, *inputs: Tensor) -> Graph:
    """Identity codecs at every site change no output in either mode; returns the graph."""
    graph = capture(model, inputs)
    for placement in Placement:
        network = rewrite_with_identity(graph, placement)
        for training in (False, True):
            state = {key: value.clone() for key, value in model.state_dict().items()}
            torch.manual_seed(1)
            expected = model.train(training)(*(x.clone() for x in inputs))
            model.load_state_dict(state)
            torch.manual_seed(1)
            output, rates = network.train(training)(*(x.clone() for x in inputs))
            torch.testing.assert_close(output, expected, rtol=0, atol=0)
            assert len(rates) == len(graph.sites)
    return graph


@pytest.fixture
def unchanged() -> Callable[..., Graph]:
    torch.manual_seed(0)
    return assert_unchanged


@pytest.fixture
def identity_codec() -> type[nn.Module]:
    return IdentityCodec

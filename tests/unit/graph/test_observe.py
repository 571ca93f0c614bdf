"""`site_values` shows what flows, in order, and keeps nothing alive."""

import gc
import weakref

import pytest
import torch
from torch import nn

from actpress.errors import ModelError
from actpress.graph import capture, site_values
from actpress.plan import Placement

PRE, POST = Placement.PRE_ACT, Placement.POST_ACT
IMAGE = torch.linspace(-1, 1, 32).view(2, 1, 4, 4)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 1),
        nn.ReLU(),
        nn.Conv2d(2, 3, 1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 1, 1),
    )


def test_values_are_those_at_the_placement_in_order() -> None:
    graph = capture(network(), IMAGE)
    layers = graph.root

    seen = dict(site_values(graph, IMAGE, {"4": PRE, "1": POST}))

    first = layers[:2](IMAGE)
    assert list(seen) == ["1", "4"]
    assert seen["1"].equal(first)
    assert seen["4"].equal(layers[2:4](first))
    assert not seen["4"].requires_grad


def test_the_callers_grad_mode_is_kept_between_values() -> None:
    graph = capture(network(), IMAGE)

    for _ in site_values(graph, (IMAGE,), {"1": PRE}):
        assert torch.is_grad_enabled()


def test_dead_values_are_freed_on_the_way() -> None:
    graph = capture(network(), IMAGE)
    run = site_values(graph, IMAGE, {"1": PRE, "4": PRE})

    _, value = next(run)
    reference = weakref.ref(value)
    del value
    next(run)
    gc.collect()

    assert reference() is None


def test_unknown_sites_are_refused() -> None:
    graph = capture(network(), IMAGE)

    with pytest.raises(ModelError, match="no site '9'"):
        next(site_values(graph, IMAGE, {"9": PRE}))

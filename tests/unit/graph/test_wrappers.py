"""Wrappers around a network do not matter; what holds no network says so."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from actpress.errors import ModelError
from actpress.graph import capture, hash_weights, insert_codecs, unwrapped

IMAGE = torch.randn(2, 1, 8, 8)
Wrap = Callable[[nn.Module], nn.Module]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Dropout(0.5), nn.ReLU())
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), block]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


WRAPS = [nn.DataParallel, compiled, compiled_in_place, lambda m: compiled(nn.DataParallel(m))]


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_wrapped_network_is_the_network(wrap: Wrap) -> None:
    plain, wrapped = network(), wrap(network())

    assert capture(wrapped, IMAGE).fingerprint == capture(plain, IMAGE).fingerprint
    assert hash_weights(wrapped) == hash_weights(plain)
    assert type(unwrapped(wrapped)) is nn.Sequential


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_wrapped_submodule_is_the_submodule(wrap: Wrap) -> None:
    plain, wrapped = network(), network()
    wrapped[3] = wrap(wrapped[3])
    before = wrapped[3]

    graph = capture(wrapped, IMAGE)

    assert graph.fingerprint == capture(plain, IMAGE).fingerprint
    assert graph.eval_module(IMAGE).equal(plain(IMAGE))
    assert wrapped[3] is before


def test_leaves_are_named_as_in_the_network_itself() -> None:
    graph = capture(nn.DataParallel(network()), IMAGE, leaves=["3"])

    assert [site.name for site in graph.sites] == ["2", "3", "4"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "script", [torch.jit.script, lambda m: torch.jit.trace(m, torch.randn(2, 4, 6, 6))]
)
def test_a_scripted_submodule_is_kept_whole_and_follows_the_mode(script: Wrap) -> None:
    model = network()
    traced = script is not torch.jit.script
    model[3] = script(model[3])
    network_ = insert_codecs(capture(model, IMAGE), {}, {})

    assert network_(IMAGE)[0].equal(model(IMAGE))
    assert network_.train().train_module.get_submodule("3").training
    assert traced or not network_(IMAGE)[0].equal(network_(IMAGE)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (torch.jit.script, r"is TorchScript \(RecursiveScriptModule\).*no Python"),
        (lambda m: torch.jit.trace(m, IMAGE), r"is TorchScript \(TopLevelTracedModule\)"),
        (lambda m: torch.export.export(m, (IMAGE,)), r"Module, got an exported program"),
        (lambda m: torch.export.export(m, (IMAGE,)).module(), r"GraphModule was exported: .*taken"),
        (
            lambda m: torch.export.unflatten(torch.export.export(m, (IMAGE,))),
            "UnflattenedModule was exported",
        ),
        (lambda m: m.state_dict(), "got a OrderedDict, weights without a network"),
        (lambda m: m.forward, "got a method"),
    ],
)
def test_what_holds_no_python_is_refused_as_what_it_is(
    convert: Callable[[nn.Module], nn.Module], message: str
) -> None:
    with pytest.raises(ModelError, match=message + r".*; give the nn\.Module"):
        capture(convert(network()), IMAGE)

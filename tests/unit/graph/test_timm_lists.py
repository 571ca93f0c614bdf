"""What timm lists as not to be traced is kept whole where nothing else is left."""

import subprocess
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from actpress.errors import ModelError
from actpress.graph import Graph, capture, default_placement, insert_codecs
from actpress.graph.whole import NOTHING, listed_by_timm
from actpress.settings import Capture


class SameConv(nn.Conv2d):
    """Pads as the size of the input asks for, which torch.fx cannot trace."""

    def forward(self, x: Tensor) -> Tensor:
        more = max((-x.shape[-1]) % 4, 0)
        return super().forward(nn.functional.pad(x, (0, more, 0, more)))


class Plain(nn.Conv2d):
    """Listed, but torch.fx can look into it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x


def windows(x: Tensor, size: int) -> Tensor:
    return x.repeat_interleave(int(x.shape[-1]) // size, dim=-1)


class Windows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return windows(x, 4)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Codec(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


def network(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = SameConv(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), Plain(4, 4, 1), nn.ReLU()
    return nn.Sequential(*layers, *more, nn.Dropout(), nn.Conv2d(4, 2, 1)).eval()


IMAGE = torch.randn(2, 3, 9, 9)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    layers = ModuleType("timm.layers")
    layers.get_notrace_modules = lambda: [SameConv, Plain, Branch]  # type: ignore[attr-defined]
    layers.get_notrace_functions = lambda: [windows]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", ModuleType("timm"))
    monkeypatch.setitem(sys.modules, "timm.layers", layers)
    return layers


def is_equal(graph: Graph, model: nn.Module, x: Tensor) -> bool:
    codecs = {site.name: Codec() for site in graph.sites}
    places = {site.name: default_placement(site) for site in graph.sites}
    with torch.no_grad():
        output, _ = insert_codecs(graph, codecs, places)(x)
        return torch.equal(output, model(x))


def targets(graph: Graph) -> set[str]:
    return {str(node.target) for node in graph.eval_module.graph.nodes if node.op == "call_module"}


@pytest.mark.usefixtures("timm")
def test_what_is_listed_and_cannot_be_traced_is_kept_whole() -> None:
    model = network(Windows())
    graph = capture(model, IMAGE, how=Capture.FX)

    assert {"0", "1"} <= targets(graph)
    assert "3" not in targets(graph), "it is listed, but can be traced"
    assert [site.name for site in graph.sites] == ["2", "4", "5.windows"]
    assert not graph.no_train_mode
    for size in (9, 13):
        assert is_equal(graph, model, torch.randn(3, 3, size, size))


def test_without_timm_nothing_is() -> None:
    assert listed_by_timm() == NOTHING
    with pytest.raises(ModelError, match="cannot trace the network in module '0'"):
        capture(network(), IMAGE, how=Capture.FX)


@pytest.mark.usefixtures("timm")
def test_torch_export_comes_first_as_it_hides_nothing() -> None:
    assert capture(network(), IMAGE).captured is Capture.EXPORT
    assert capture(network(), IMAGE, any_size=True).captured is Capture.FX
    with_branch = capture(network(Branch()), IMAGE)
    assert with_branch.captured is Capture.FX
    assert {"0", "5"} <= targets(with_branch)


def test_what_is_not_listed_is_refused_as_ever(timm: ModuleType) -> None:
    timm.get_notrace_modules = lambda: [SameConv]  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=r"in module '5', at .*nor can torch.export"):
        capture(network(Branch()), IMAGE)
    with pytest.raises(ModelError, match="in module '5'"):
        capture(network(Branch()), IMAGE, how="fx")


def test_timm_is_not_imported() -> None:
    code = (
        "import sys, torch; from actpress.graph import capture;"
        "capture(torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.zeros(1, 2));"
        "sys.exit('timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603

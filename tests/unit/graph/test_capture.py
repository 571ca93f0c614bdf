"""What `capture` keeps, shares and refuses."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph import capture, insert_codecs
from actpress.settings import Capture


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


def with_branch() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(Branch()), nn.Conv2d(2, 2, 1))


IMAGE = torch.randn(2, 1, 6, 6)


def test_the_model_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    capture(model, IMAGE)

    assert model.training
    assert not model[1].training
    assert model[2].inplace
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_capture_leaves_random_state_and_statistics_alone() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.steps += 1
            x = F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)
            return F.dropout(x, training=True)

    state = torch.get_rng_state()
    graph = capture(Noisy(), IMAGE)

    assert torch.get_rng_state().equal(state)
    assert graph.root.steps == 0
    assert graph.root.norm.running_mean.eq(0).all()
    assert not graph.root.training


def test_both_modes_share_modules_and_parameters() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.conv(x), training=self.training)

    graph = capture(Net(), IMAGE)

    assert graph.eval_module is not graph.train_module
    assert graph.eval_module.conv is graph.train_module.conv is graph.module("conv")


def test_the_fingerprint_depends_on_the_network_and_not_on_weights_or_batch() -> None:
    def fingerprint(model: nn.Module, size: int = 6, batch: int = 2) -> str:
        return capture(model, torch.randn(batch, 1, size, size)).fingerprint

    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1))
    again = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1))
    other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.SiLU(), nn.Conv2d(2, 2, 1))
    wider = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))

    assert re.fullmatch("[0-9a-f]{64}", fingerprint(model))
    assert fingerprint(model) == fingerprint(again) == fingerprint(again, batch=1)
    assert len({fingerprint(m) for m in (model, other, wider)} | {fingerprint(model, 8)}) == 4


def test_an_untraceable_module_is_named_with_its_line_and_the_way_out() -> None:
    with pytest.raises(ModelError) as raised:
        capture(with_branch(), IMAGE)

    message = str(raised.value)
    assert "in module '1.0'" in message
    assert re.search(r"test_capture\.py:\d+ \(if x\.sum\(\) > 0:\)", message)
    assert "leaves=['1.0']" in message
    assert "--leaf 1.0" in message


def test_a_leaf_is_kept_whole() -> None:
    graph = capture(with_branch(), IMAGE, leaves=["1.0"])

    assert [site.name for site in graph.sites] == ["0", "1.0"]


def test_layers_that_a_leaf_hides_are_told() -> None:
    hidden = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1), hidden, nn.Flatten(2), Attention(), nn.Conv1d(2, 1, 1)
    ).eval()

    told = (
        r"kept whole: '1' \(3 layers: 0, 2, 3\), '3\.attention' \(2 layers: "
        r"MultiheadAttention, out_proj\); what is stored between"
    )
    with pytest.warns(UserWarning, match=told):
        graph = capture(model, torch.randn(2, 1, 2, 2), leaves=["1"])

    assert [site.name for site in graph.sites] == ["0", "1", "3.getitem"]


@torch.fx.wrap
def attend(x: Tensor, into: Tensor, out: Tensor) -> Tensor:
    return F.linear(F.linear(x, into).softmax(-1), out)


def test_layers_in_a_function_that_is_kept_whole_are_told() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return attend(self.b(attend(x, self.a.weight, self.b.weight)), self.a.weight, x[0, 0])

    told = r"kept whole: attend\(\) \(1 calls\); what is stored between"
    with pytest.warns(UserWarning, match=told):
        capture(Attend(), IMAGE)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation")
def test_a_network_that_is_quantized_already_is_refused() -> None:
    class Quantized(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.quantize_per_tensor(x, 0.1, 0, torch.quint8).relu().dequantize()

    with pytest.raises(ModelError, match=r"quantize_per_tensor gives torch\.quint8: .* integers"):
        capture(Quantized(), IMAGE)


def test_a_branch_in_the_network_itself_asks_for_a_submodule() -> None:
    with pytest.raises(ModelError, match=r"own forward.* move it into a submodule"):
        capture(Branch(), IMAGE)


def test_random_numbers_that_a_trace_would_freeze_are_refused() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(1)

    state = torch.get_rng_state()
    with pytest.raises(ModelError, match=r"random numbers in eval mode.*rand_like"):
        capture(nn.Sequential(Noise()), IMAGE, how=Capture.FX)
    assert torch.get_rng_state().equal(state)


def test_a_train_mode_that_cannot_be_traced_is_refused_only_where_it_is_used() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(1) if self.training else x

    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), Noise(), nn.Conv2d(2, 2, 1)).eval()
    network = insert_codecs(capture(model, IMAGE), {}, {})

    assert network(IMAGE)[0].equal(model(IMAGE))
    with pytest.raises(ModelError, match=r"no train mode: .*random numbers in train.*rand_like"):
        network.train()


def test_train_mode_is_captured_when_it_is_asked_for(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.conv(x).relu(), training=self.training)

    graph = capture(Net(), IMAGE)
    network = insert_codecs(graph, {}, {}).eval()
    network(IMAGE)
    torch.save(network, tmp_path / "network.pt")
    assert "mode" not in vars(graph.training)

    copied = copy.deepcopy(network).train()
    assert copied(IMAGE)[0].eq(0).any()
    assert copied.train_module.conv is copied.eval_module.conv is not network.eval_module.conv
    assert "mode" in vars(graph.training)

    stored = torch.load(tmp_path / "network.pt", weights_only=False)
    assert stored(IMAGE)[0].equal(network(IMAGE)[0])
    with pytest.raises(ModelError, match=r"stored before that was asked for; call train\(\) once"):
        stored.train()
    torch.save(copied, tmp_path / "copied.pt")
    assert torch.load(tmp_path / "copied.pt", weights_only=False).train()(IMAGE)[0].eq(0).any()


def test_an_unknown_leaf_lists_near_names() -> None:
    with pytest.raises(ModelError, match=r"no leaf module '1\.1'; near names: .*'1\.0'"):
        capture(with_branch(), IMAGE, leaves=["1.1"])


def test_a_wrong_number_of_channels_names_the_layer_and_the_shape() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(3, 2, 1))

    with pytest.raises(ModelError, match=r"\(2, 1, 6, 6\): 1 got \(2, 2, 4, 4\) .* 3 channels"):
        capture(model, IMAGE)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((), "empty tuple"),
        (torch.tensor(1.0), "got a tensor without axes"),
        ([torch.ones(1)], "got list"),
        ((torch.ones(1), "x"), "got str"),
    ],
)
def test_a_malformed_example_is_refused(example: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        capture(nn.ReLU(), example)


def test_the_number_of_inputs_is_checked() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(ModelError, match="needs the argument 'y'"):
        capture(Two(), IMAGE)
    with pytest.raises(ModelError, match=r"has 3 tensors, but .* takes 2"):
        capture(Two(), (IMAGE, IMAGE, IMAGE))


class Auxiliary(nn.Module):
    """As GoogLeNet: a second head that only train mode has."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.aux = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.a(x).relu()
        y = self.b(x)
        return (y, self.aux(self.aux(x).tanh())) if self.training else y


def test_an_auxiliary_head_of_training_has_no_sites_and_stays_in_train_mode() -> None:
    model = Auxiliary()
    graph = capture(model, IMAGE)
    network = insert_codecs(graph, {}, {})

    assert [(site.name, site.reads) for site in graph.sites] == [("relu", 1)]
    assert network.eval()(IMAGE)[0].equal(model.eval()(IMAGE))
    for ours, own in zip(network.train()(IMAGE)[0], model.train()(IMAGE), strict=True):
        assert ours.equal(own)


def test_sites_that_train_mode_lacks_leave_eval_mode_alone() -> None:
    class Deploy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x)) if self.training else self.b(self.a(x).tanh())

    graph = capture(Deploy(), IMAGE)

    assert [site.name for site in graph.sites] == ["tanh"]
    with pytest.raises(ModelError, match=r"stores 1 values in eval.*'tanh' of shape.*--leaf"):
        insert_codecs(graph, {}, {}).train()


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    model = nn.Conv2d(1, 2, 3)
    model.cache = model.weight * 2

    with pytest.raises(ModelError, match="Conv2d cannot be copied"):
        capture(model, IMAGE)


def test_unknown_names_list_near_ones() -> None:
    graph = capture(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1)), IMAGE)

    with pytest.raises(ModelError, match=r"no site 'x'; near names: '1'"):
        graph.site("x")
    with pytest.raises(ModelError, match="no module '7'; near names"):
        graph.module("7")

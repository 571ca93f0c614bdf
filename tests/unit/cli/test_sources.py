import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actpress.checkpoints import load_weights, read_weights
from actpress.cli.arguments import parse_input
from actpress.cli.sources import load_model
from actpress.errors import DataError, ModelError

MODULE = """
from torch import nn
from actpress.errors import DataError

size = 3

def small(width=2):
    return nn.Sequential(nn.Conv2d(1, width, 1), nn.BatchNorm2d(width))

class factories:
    small = small

def wrapped():
    return nn.DataParallel(small())

def leaving():
    raise SystemExit(3)

def number():
    return 7

def failing():
    raise RuntimeError("out of ideas")

def refusing():
    raise DataError("said by the factory")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "own_model_module"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).state_dict()


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.victim),)


class TestParseInput:
    @pytest.mark.parametrize("text", ["3x224x224", " 3x224x224 "])
    def test_three_numbers(self, text: str) -> None:
        assert parse_input(text) == (3, 224, 224)

    def test_other_ranks(self) -> None:
        assert [parse_input(text) for text in ("640", "1x16000", "1x8x9x10")] == [
            (640,),
            (1, 16000),
            (1, 8, 9, 10),
        ]

    @pytest.mark.parametrize(
        "text", ["", "1x1x3x224x224", "3x0x224", "3xax4", "-3x4x4", "3X4X4", "3x", "3,4,4"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ModelError, match="without a batch axis, as in 3x224x224"):
            parse_input(text)

    @pytest.mark.parametrize("text", ["3x5000x5000", "3x100000x100000", "999999x999999x999999"])
    def test_an_input_beyond_all_measure_is_refused(self, text: str) -> None:
        with pytest.raises(ModelError, match=r"has [\d,]+ values, expected at most 67,108,864"):
            parse_input(text)


class TestFactory:
    def test_the_model_is_in_eval_mode(self, module: str) -> None:
        assert not load_model(f"{module}:small").training

    def test_arguments_reach_the_factory(self, module: str) -> None:
        model = load_model(f"{module}:small", args='{"width": 5}')

        assert model(torch.zeros(1, 1, 2, 2)).shape[1] == 5

    def test_the_factory_may_be_an_attribute(self, module: str) -> None:
        assert isinstance(load_model(f"{module}:factories.small"), nn.Module)

    def test_the_search_path_is_left_as_it_was(self, module: str) -> None:
        before = list(sys.path)

        load_model(f"{module}:small")

        assert sys.path == before

    @pytest.mark.parametrize("spec", ["small", "module:", ":small"])
    def test_a_malformed_name(self, spec: str) -> None:
        with pytest.raises(ModelError, match=r"expected package\.module:factory"):
            load_model(spec)

    @pytest.mark.parametrize("name", ["absent_module", "os.absent", "absent.module"])
    def test_a_missing_module(self, name: str) -> None:
        with pytest.raises(ModelError, match=r"there is no module '.*absent"):
            load_model(f"{name}:factory")

    @pytest.mark.usefixtures("module")
    def test_a_module_that_needs_another(self, tmp_path: Path) -> None:
        (tmp_path / "needy_module.py").write_text("import absent_dependency")

        with pytest.raises(ModelError, match="needs 'absent_dependency'; install it"):
            load_model("needy_module:factory")

    @pytest.mark.usefixtures("module")
    def test_a_module_that_fails(self, tmp_path: Path) -> None:
        (tmp_path / "failing_module.py").write_text("1 / 0")

        with pytest.raises(ModelError, match="importing failing_module raised ZeroDivisionError"):
            load_model("failing_module:factory")

    def test_a_missing_factory(self, module: str) -> None:
        with pytest.raises(ModelError, match=r"has no 'absent'; it has .*small"):
            load_model(f"{module}:absent")
        with pytest.raises(ModelError, match=r"it has .*resnet18_fashion_mnist"):
            load_model("actpress.zoo:resnet81")

    def test_something_that_cannot_be_called(self, module: str) -> None:
        with pytest.raises(ModelError, match="is a int; expected a function or class"):
            load_model(f"{module}:size")

    def test_a_factory_that_fails(self, module: str) -> None:
        with pytest.raises(ModelError, match="failing raised RuntimeError: out of ideas"):
            load_model(f"{module}:failing")

    @pytest.mark.parametrize("spec", ["sys:exit", "own_model_module:leaving"])
    def test_a_factory_that_leaves_python(self, module: str, spec: str) -> None:
        assert module == "own_model_module"
        with pytest.raises(ModelError, match=f"{spec} raised SystemExit"):
            load_model(spec)

    @pytest.mark.usefixtures("module")
    def test_a_module_that_leaves_python(self, tmp_path: Path) -> None:
        (tmp_path / "leaving_module.py").write_text("import sys; sys.exit('usage: ...')")

        with pytest.raises(ModelError, match=r"importing leaving_module raised SystemExit: usage"):
            load_model("leaving_module:factory")

    def test_arguments_that_the_factory_does_not_take(self, module: str) -> None:
        with pytest.raises(ModelError, match=r"TypeError: .*'depth'.*called with {'depth': 1}"):
            load_model(f"{module}:small", args='{"depth": 1}')

    def test_our_own_errors_pass_through(self, module: str) -> None:
        with pytest.raises(DataError, match=r"^said by the factory$"):
            load_model(f"{module}:refusing")

    def test_something_else_than_a_module(self, module: str) -> None:
        with pytest.raises(ModelError, match=r"returned a int; expected a torch\.nn\.Module"):
            load_model(f"{module}:number")

    @pytest.mark.parametrize("args", ["{", "width=3", "", "[1]", "3"])
    def test_arguments_that_are_no_json_object(self, module: str, args: str) -> None:
        with pytest.raises(ModelError, match=r'as in {"num_classes": 10}'):
            load_model(f"{module}:small", args=args)


class TestWeights:
    @pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
    def test_each_format(
        self, module: str, state: dict[str, Tensor], tmp_path: Path, suffix: str
    ) -> None:
        path = tmp_path / f"weights{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)(state, path)

        loaded = load_model(f"{module}:small", weights=path).state_dict()

        assert all(loaded[key].equal(value) for key, value in state.items())

    def test_a_checkpoint_with_the_state_dict_inside(
        self, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / "weights.pt")

        assert read_weights(tmp_path / "weights.pt").keys() == state.keys()

    @pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pth.tar"])
    @pytest.mark.parametrize("keys", [("model",), ("model_state_dict",), ("net", "state_dict")])
    @pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod."])
    def test_checkpoints_of_many_makers(
        self,
        module: str,
        state: dict[str, Tensor],
        tmp_path: Path,
        suffix: str,
        keys: tuple[str, ...],
        prefix: str,
    ) -> None:
        content: object = {prefix + key: value for key, value in state.items()}
        for key in keys:
            content = {key: content, "epoch": 3, "state_dict_ema": {"0.bias": torch.zeros(2)}}
        torch.save(content, tmp_path / f"weights{suffix}")

        loaded = load_model(f"{module}:small", weights=tmp_path / f"weights{suffix}").state_dict()

        assert all(loaded[key].equal(value) for key, value in state.items())

    @pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod."])
    def test_a_prefix_that_the_network_has_itself_stays(
        self, module: str, state: dict[str, Tensor], tmp_path: Path, prefix: str
    ) -> None:
        name = prefix.removesuffix(".")
        save_file({prefix + key: v for key, v in state.items()}, tmp_path / "weights.safetensors")
        network = nn.Module()
        network.add_module(name, load_model(f"{module}:small"))

        load_weights(network, tmp_path / "weights.safetensors")

        assert network.get_submodule(name)[0].bias.equal(state["0.bias"])

    def test_a_prefix_that_only_some_names_have_is_no_prefix(
        self, module: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        state = {f"module.{key}": value for key, value in state.items()} | {"extra": torch.ones(1)}
        save_file(state, tmp_path / "weights.safetensors")

        with pytest.raises(ModelError, match=r"missing: 0\.weight.*unexpected: .*module\.0"):
            load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

    def test_counters_of_profilers_are_left_out(
        self, module: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        state |= {"total_ops": torch.ones(1), "1.total_params": torch.ones(1)}
        save_file(state, tmp_path / "weights.safetensors")

        load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

    @pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn])
    def test_weights_without_their_scale_are_refused(
        self, module: str, state: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype
    ) -> None:
        state["0.weight"] = (100 * state["0.weight"]).to(dtype)
        save_file(state, tmp_path / "weights.safetensors")

        with pytest.raises(ModelError, match=rf"lack the scale .*: 0\.weight is {dtype}; expected"):
            load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_weights_of_other_floating_types_are_converted(
        self, module: str, state: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype
    ) -> None:
        save_file({key: v.to(dtype) for key, v in state.items()}, tmp_path / "weights.safetensors")

        loaded = load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

        assert loaded[0].weight.equal(state["0.weight"].to(dtype).float())

    def test_weights_reach_a_wrapped_network(
        self, module: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save_file(state, tmp_path / "weights.safetensors")

        loaded = load_model(f"{module}:wrapped", weights=tmp_path / "weights.safetensors")

        assert type(loaded) is nn.Sequential
        assert loaded[0].bias.equal(state["0.bias"])

    def test_keys_that_do_not_match_are_named(
        self, module: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        state["extra"] = state.pop("0.bias")
        state["1.weight"] = torch.zeros(7)
        save_file(state, tmp_path / "weights.safetensors")

        with pytest.raises(
            ModelError,
            match=r"missing: 0\.bias; unexpected: extra; "
            r"wrong shape: 1\.weight is \(7,\), expected \(2,\); check the factory",
        ):
            load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

    def test_at_most_five_keys_are_named(self, module: str, tmp_path: Path) -> None:
        save_file({f"k{i}": torch.zeros(1) for i in range(9)}, tmp_path / "weights.safetensors")

        with pytest.raises(ModelError, match="unexpected: k0, k1, k2, k3, k4 and 4 more"):
            load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

    def test_old_checkpoints_may_lack_the_batch_counter(
        self, module: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        del state["1.num_batches_tracked"]
        save_file(state, tmp_path / "weights.safetensors")

        load_model(f"{module}:small", weights=tmp_path / "weights.safetensors")

    @pytest.mark.parametrize("inside", [None, "state_dict"])
    def test_code_in_a_checkpoint_is_not_executed(self, tmp_path: Path, inside: str | None) -> None:
        victim, path = tmp_path / "created", tmp_path / "weights.pt"
        content: object = {"weight": Malicious(victim)}
        torch.save({inside: content} if inside else content, path)

        with pytest.raises(ModelError, match=r"would have to execute code .*safetensors"):
            read_weights(path)
        assert not victim.exists()

    def test_code_in_a_plain_pickle_is_not_executed(self, tmp_path: Path) -> None:
        victim, path = tmp_path / "created", tmp_path / "weights.pth"
        path.write_bytes(pickle.dumps(Malicious(victim)))

        with pytest.raises(ModelError, match="would have to execute code"):
            read_weights(path)
        assert not victim.exists()

    def test_a_whole_pickled_module_is_refused(self, tmp_path: Path) -> None:
        torch.save(nn.Conv2d(1, 1, 1), tmp_path / "model.pt")

        with pytest.raises(ModelError, match="convert it where you trust it"):
            read_weights(tmp_path / "model.pt")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"no weights file .*absent\.pt"):
            read_weights(tmp_path / "absent.pt")

    def test_an_unknown_suffix(self, tmp_path: Path) -> None:
        (tmp_path / "weights.onnx").touch()

        with pytest.raises(ModelError, match=r"expected \.safetensors, \.pt or \.pth"):
            read_weights(tmp_path / "weights.onnx")

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    @pytest.mark.parametrize("share", [0, 0.2, 0.9])
    def test_a_truncated_file(
        self, state: dict[str, Tensor], tmp_path: Path, suffix: str, share: float
    ) -> None:
        path = tmp_path / f"weights{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)(state, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

        with pytest.raises(ModelError, match="is damaged"):
            read_weights(path)

    @pytest.mark.parametrize("content", [{"model": {}, "epoch": 3}, {}, {"state_dict": {}}])
    def test_a_dict_that_is_no_state_dict(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "weights.pt")

        with pytest.raises(ModelError, match="is not a state dict"):
            read_weights(tmp_path / "weights.pt")

    def test_something_else_than_a_dict(self, tmp_path: Path) -> None:
        torch.save([torch.zeros(1)], tmp_path / "weights.pt")

        with pytest.raises(ModelError, match="holds a list; expected a state dict"):
            read_weights(tmp_path / "weights.pt")

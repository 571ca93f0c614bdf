"""Side files that are damaged, or of something else, get one line that names the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actpress.data.dataset import Dataset
from actpress.errors import ActpressError, DataError, ModelError, RunError
from actpress.evaluation import Metrics, RunInfo, evaluate
from actpress.graph import Graph
from actpress.plan import Transform
from actpress.preparation import Preparation
from actpress.pressing import CompressedModel
from actpress.run import (
    CODEC,
    METRICS,
    NETWORK,
    Source,
    load_head,
    load_metrics,
    load_model_from,
    load_source,
    metrics_json,
    save_halves,
    save_model,
    write_text,
)
from actpress.run.tensors import read_tensors, write_tensors
from tests.conftest import Tiny

MakePressed = Callable[..., CompressedModel]
SOURCE = Source(model="tiny", data="tiny", input=(1, 8, 8), weights_sha256="0" * 64)

OTHER_TYPES = (
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.complex64,
    torch.int64,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint64,
    torch.bool,
)


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(ActpressError) as refusal:
        read()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# codec.safetensors


@pytest.mark.parametrize("transform", [Transform.PCA, Transform.BLOCK_PCA, Transform.IDENTITY])
def test_no_tensor_of_a_codec_is_taken_in_another_type(
    make_pressed: MakePressed, graph: Graph, tmp_path: Path, transform: Transform
) -> None:
    save_model(make_pressed(transform, rank=5), tmp_path)
    tensors = read_tensors(tmp_path / CODEC)
    for key in [key for key in tensors if key.split("/")[0] in {"relu", "tables", key}]:
        for dtype in OTHER_TYPES:
            if dtype == tensors[key].dtype:
                continue
            write_tensors(tmp_path / CODEC, {**tensors, key: tensors[key].to(dtype)})
            told = refused(lambda: load_model_from(tmp_path, graph))
            assert "codec.safetensors" in told, (key, dtype)
            assert "compress again" in told or "plan was edited" in told, (key, dtype)
    write_tensors(tmp_path / CODEC, tensors)
    load_model_from(tmp_path, graph)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda scale: scale * 0 + 3e38, "they are not finite once scaled"),
        (lambda scale: -scale, "a scale of relu is not above zero"),
        (lambda scale: scale * 0, "a scale of relu is not above zero"),
    ],
)
def test_numbers_are_finite_once_they_are_scaled(
    make_pressed: MakePressed,
    graph: Graph,
    tmp_path: Path,
    how: Callable[[Tensor], Tensor],
    told: str,
) -> None:
    save_model(make_pressed(Transform.PCA), tmp_path)
    tensors = read_tensors(tmp_path / CODEC)
    tensors["relu/vectors.scale"] = how(tensors["relu/vectors.scale"])
    write_tensors(tmp_path / CODEC, tensors)
    assert told in refused(lambda: load_model_from(tmp_path, graph))


@pytest.mark.parametrize("name", ["order", "clusters"])
@pytest.mark.parametrize("how", [lambda t: t[:0], lambda t: t.repeat(2)])
def test_indices_are_as_many_as_the_transform_has(
    make_pressed: MakePressed,
    graph: Graph,
    tmp_path: Path,
    how: Callable[[Tensor], Tensor],
    name: str,
) -> None:
    save_model(make_pressed(Transform.BLOCK_PCA), tmp_path)
    tensors = read_tensors(tmp_path / CODEC)
    tensors[f"relu/{name}"] = how(tensors[f"relu/{name}"])
    write_tensors(tmp_path / CODEC, tensors)
    told = refused(lambda: load_model_from(tmp_path, graph))
    assert "the transform of relu" in told


# network.safetensors of a run and of a half


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_of_a_network_are_finite(
    make_pressed: MakePressed, graph: Graph, tmp_path: Path, value: float
) -> None:
    pressed = make_pressed()
    pressed.network_learned = True
    save_model(pressed, tmp_path)
    save_halves(pressed, "relu", SOURCE, tmp_path)
    for folder, read in (
        (tmp_path, lambda: load_model_from(tmp_path, graph)),
        (tmp_path / "head", lambda: load_head(tmp_path / "head", Tiny())),
    ):
        tensors = read_tensors(folder / NETWORK)
        tensors["norm.running_var"][3] = value
        write_tensors(folder / NETWORK, tensors)
        told = refused(read)
        assert told.endswith("norm.running_var holds NaN or infinite values; compress again")


class Masked(nn.Module):
    """Holds infinity on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.tiny = Tiny()
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))

    def forward(self, x: Tensor) -> Tensor:
        return self.tiny(x) + self.mask


def test_infinity_may_stand_where_the_network_has_it(tmp_path: Path) -> None:
    from actpress.run.model import copy_tensors  # noqa: PLC0415 - not public

    state = Masked().state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "a")
    other = Masked()
    copy_tensors(state, other.state_dict(), tmp_path / "a")
    assert other.mask[3] == -torch.inf


# half.json, run.json, metrics.json


@pytest.mark.parametrize(
    "change",
    [
        {"at": float("nan")},
        {"at": "nowhere"},
        {"at": None},
        {"own": 1e300},
        {"own": "NaN"},
        {"whole": float("inf")},
        {"sent": "relu"},
        {"sent": ["relu#2", "nowhere"]},
        {"sent": []},
        {"inside": [float("nan")]},
        {"inside": {}},
        {"part": float("nan")},
        {"step": float("nan")},
    ],
)
def test_a_half_of_another_form_is_refused(
    make_pressed: MakePressed, tmp_path: Path, change: dict[str, object]
) -> None:
    save_halves(make_pressed(), "relu#2", SOURCE, tmp_path)
    path = tmp_path / "head" / "half.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    told = refused(lambda: load_head(tmp_path / "head", Tiny()))
    assert "half.json" in told or "nowhere" in told


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 10**5, "\udcff", "1" * 5000])
def test_text_that_is_no_half_is_refused(
    make_pressed: MakePressed, tmp_path: Path, text: str
) -> None:
    save_halves(make_pressed(), "relu", SOURCE, tmp_path)
    (tmp_path / "head" / "half.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "half.json is damaged" in refused(lambda: load_head(tmp_path / "head", Tiny()))


@pytest.fixture(scope="module")
def metrics_text() -> list[str]:
    return []


@pytest.fixture
def metrics(
    metrics_text: list[str], make_pressed: MakePressed, graph: Graph, dataset: Dataset
) -> dict[str, Any]:
    """What `metrics.json` holds; evaluated once."""
    if not metrics_text:
        found = evaluate(make_pressed(), graph, dataset.test, RunInfo(model="m", method="gdr"))
        metrics_text.append(metrics_json(found))
    content: dict[str, Any] = json.loads(metrics_text[0])
    return content


def put(content: Any, where: str, value: object) -> None:
    *path, last = [int(part) if part.isdigit() else part for part in where.split(".")]
    for part in path:
        content = content[part]
    content[last] = value


@pytest.mark.parametrize(
    "where",
    [
        "accuracy",
        "bits_per_value.entropy",
        "sites.1.step",
        "sites.0.distortion_mse",
        "traffic.net_ratio_8bit.fixed",
        "energy.before_pj",
        "tune_seconds",
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e301, None, "1", [1.0], {}])
def test_numbers_of_metrics_are_finite(
    metrics: dict[str, Any], tmp_path: Path, where: str, value: object
) -> None:
    put(metrics, where, value)
    write_text(tmp_path / METRICS, json.dumps(metrics))
    if value == "1":  # text that is a number is one
        load_metrics(tmp_path)
        return
    told = refused(lambda: load_metrics(tmp_path))
    assert "metrics.json is damaged" in told
    assert where in told


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("images", 0),
        ("images", 10**400),
        ("network_macs", 10**400),
        ("guessing_accuracy", -1),
        ("traffic.bits_8bit", 0.0),
        ("traffic.batch", 0),
        ("sites.0.values", 0),
        ("seed", 1.5),
    ],
)
def test_numbers_that_nothing_can_be_divided_by_are_refused(
    metrics: dict[str, Any], tmp_path: Path, where: str, value: object
) -> None:
    put(metrics, where, value)
    write_text(tmp_path / METRICS, json.dumps(metrics))
    told = refused(lambda: load_metrics(tmp_path))
    assert "metrics.json is damaged" in told
    assert where in told


def test_metrics_are_taken_as_they_were_written(metrics: dict[str, Any], tmp_path: Path) -> None:
    write_text(tmp_path / METRICS, json.dumps(metrics))
    assert load_metrics(tmp_path) == Metrics.model_validate(metrics)


def test_a_source_whose_preparation_is_not_finite_is_refused(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"preparation": Preparation(mean=(0.5,))})
    write_text(tmp_path / "run.json", source.model_dump_json().replace("0.5", "NaN"))
    assert "run.json is damaged: mean is (nan,)" in refused(lambda: load_source(tmp_path))
    with pytest.raises(DataError, match=r"std is \(inf,\); expected finite numbers"):
        Preparation.parse(None, "inf", None)


# What a user types


def test_class_names_may_be_many_or_a_file(tmp_path: Path) -> None:
    names = ",".join(f"class number {index}" for index in range(1000))
    many = Preparation.parse(None, None, names)
    assert many is not None
    assert many.classes is not None
    assert len(many.classes) == 1000
    (tmp_path / "classes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text file") as refusal:
        Preparation.parse(None, None, str(tmp_path / "classes"))
    assert "\n" not in str(refusal.value)


def test_arguments_nested_beyond_all_measure_are_refused() -> None:
    from actpress.cli.arguments import parse_arguments  # noqa: PLC0415 - beside its only test

    with pytest.raises(ModelError, match="cannot read the model arguments"):
        parse_arguments("[" * 10**5)


def test_errors_are_of_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        load_metrics(tmp_path)

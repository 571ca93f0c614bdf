"""Run directories: what is written is read back to the bit, and nothing damaged is believed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actpress.data.dataset import Dataset
from actpress.errors import ActpressError, ModelError, PlanError, RunError
from actpress.evaluation import Metrics, RunInfo, evaluate
from actpress.graph import Graph, hash_weights
from actpress.methods import Settings
from actpress.plan import Transform
from actpress.pressing import CompressedModel, fit_tables
from actpress.run import (
    CODEC,
    HALF,
    METRICS,
    NETWORK,
    PLAN,
    SOURCE,
    Source,
    differences,
    facts_of,
    load_metrics,
    load_model_from,
    load_run,
    load_source,
    metrics_json,
    new_folder,
    save_model,
    write_text,
)
from actpress.run.tensors import read_tensors, write_tensors
from tests.conftest import Tiny

MakePressed = Callable[..., CompressedModel]


@pytest.fixture
def saved(make_pressed: MakePressed, tmp_path: Path) -> Path:
    save_model(make_pressed(Transform.PCA, rank=5), tmp_path)
    return tmp_path


def test_a_run_opens_from_python(
    saved: Path, graph: Graph, model: nn.Module, images: Tensor, make_pressed: MakePressed
) -> None:
    source = Source(model="t", data="t", input=(1, 8, 8), weights_sha256=hash_weights(graph.root))
    write_text(saved / SOURCE, source.model_dump_json())
    expected = make_pressed(Transform.PCA, rank=5)(images[:4])
    assert load_run(str(saved), model)(images[:4]).equal(expected)
    with pytest.raises(RunError, match="are not those that the run was made with"):
        load_run(saved, Tiny())
    write_text(saved / HALF, "{}")
    with pytest.raises(RunError, match="one half of a network that was split, not a run"):
        load_run(saved, model)


@pytest.mark.parametrize("transform", [t for t in Transform if t is not Transform.HAAR_PCA])
@pytest.mark.parametrize("rank", [3, 8])
def test_what_was_saved_is_read_back_to_the_bit(  # noqa: PLR0917
    make_pressed: MakePressed,
    graph: Graph,
    dataset: Dataset,
    images: Tensor,
    tmp_path: Path,
    transform: Transform,
    rank: int,
) -> None:
    pressed = make_pressed(transform, rank=rank)
    save_model(pressed, tmp_path)

    read = load_model_from(tmp_path, graph)

    assert read.plan == pressed.plan
    assert read.table_images == len(images)
    assert not read.training
    with torch.no_grad():
        assert read(images).equal(pressed(images))
    expected = evaluate(pressed, graph, dataset.test, RunInfo())
    assert evaluate(read, graph, dataset.test, RunInfo()) == expected


def test_saving_twice_gives_equal_bytes(make_pressed: MakePressed, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_model(make_pressed(), tmp_path / name)
    for file in (PLAN, CODEC):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [CODEC, PLAN]


@pytest.mark.parametrize("name", [PLAN, CODEC])
def test_a_missing_file_is_named(saved: Path, graph: Graph, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(RunError, match=f"is not complete: {name} is missing"):
        load_model_from(saved, graph)


def test_missing_metrics_and_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        load_metrics(tmp_path)
    with pytest.raises(RunError, match=r"run\.json is missing"):
        load_source(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, -1])
def test_truncated_tensors_are_refused(saved: Path, graph: Graph, keep: float) -> None:
    path = saved / CODEC
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])
    with pytest.raises(RunError, match=r"codec\.safetensors is damaged: .*; compress again"):
        load_model_from(saved, graph)


def test_flipped_bits_are_refused(saved: Path, graph: Graph) -> None:
    """All but those in the header's padding, which nothing depends on."""
    path = saved / CODEC
    content = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    header = 8 + int.from_bytes(content[:8], "little")
    positions = [
        *range(9),
        *torch.randint(header, (40,), generator=generator).tolist(),
        *torch.randint(header, len(content), (80,), generator=generator).tolist(),
    ]
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        if damaged[position : position + 1].isspace() or content[position : position + 1] == b" ":
            continue
        with pytest.raises(RunError):
            load_model_from(saved, graph)


def test_a_learned_network_is_saved_with_its_codecs(
    make_pressed: MakePressed, graph: Graph, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.LEARNED, rank=5)
    for tensor in pressed.network_state().values():
        if tensor.is_floating_point():
            tensor.mul_(1.1)
    pressed.network_learned = True
    save_model(pressed, tmp_path)

    read = load_model_from(tmp_path, graph)

    assert read.network_learned
    with torch.no_grad():
        assert read(images).equal(pressed(images))
        assert not read(images).equal(make_pressed(Transform.LEARNED, rank=5)(images))


def test_missing_network_weights_are_noticed(
    make_pressed: MakePressed, graph: Graph, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.LEARNED)
    pressed.network_learned = True
    save_model(pressed, tmp_path)
    (tmp_path / NETWORK).unlink()
    with pytest.raises(RunError, match=r"network\.safetensors is missing"):
        load_model_from(tmp_path, graph)


def test_a_loaded_model_can_be_fitted_again(saved: Path, graph: Graph, images: Tensor) -> None:
    once = load_model_from(saved, graph)
    fit_tables(once, images.split(64), within_ranges=True)
    twice = load_model_from(saved, graph)
    fit_tables(twice, images.split(64), within_ranges=True)
    assert once.tables is not None
    assert twice.tables is not None
    assert once.tables.frequencies.equal(twice.tables.frequencies)
    assert once.coded_bits == twice.coded_bits
    assert once.table_images == len(images)
    with torch.no_grad():
        assert once(images).equal(load_model_from(saved, graph)(images)), "ranges hold what came up"


def test_a_plan_without_sites_is_refused(saved: Path, graph: Graph) -> None:
    edit_plan(saved, sites=[])
    with pytest.raises(PlanError, match="has no sites"):
        load_model_from(saved, graph)


def test_weights_of_another_network_are_refused(
    make_pressed: MakePressed, graph: Graph, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.LEARNED)
    pressed.network_learned = True
    save_model(pressed, tmp_path)
    state = {key: value.contiguous() for key, value in pressed.network_state().items()}
    write_tensors(tmp_path / NETWORK, {**state, "stem.weight": torch.zeros(1)})
    with pytest.raises(RunError, match=r"stem\.weight is torch.float32 \(1,\), expected"):
        load_model_from(tmp_path, graph)
    write_tensors(tmp_path / NETWORK, {**state, "tail.weight": torch.zeros(1)})
    with pytest.raises(RunError, match=r"of another network: tail\.weight do not match"):
        load_model_from(tmp_path, graph)


Edit = Callable[[dict[str, Tensor]], object]


def drop(key: str) -> Edit:
    return lambda tensors: tensors.pop(key)


def put(key: str, value: Tensor) -> Edit:
    return lambda tensors: tensors.update({key: value})


def change(key: str, how: Callable[[Tensor], Tensor]) -> Edit:
    return lambda tensors: tensors.update({key: how(tensors[key]).contiguous()})


def nan_first(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor.flatten()[0] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (drop("table_images"), "lacks the tensor table_images"),
        (drop("plan_sha256"), "lacks the tensor plan_sha256"),
        (drop("network_learned"), "lacks the tensor network_learned"),
        (drop("tables/entries"), "lacks the tensor tables/entries"),
        (drop("tables/table_of"), "lacks the tensor tables/table_of"),
        (drop("relu/steps"), "lacks the tensor relu/steps"),
        (drop("relu/class_of"), "lacks the tensor relu/class_of"),
        (drop("mean/mean"), "lacks the tensor mean/mean"),
        (drop("mean/vectors"), "scales of mean/vectors are .*, expected None"),
        (drop("mean/vectors.scale"), r"scales of mean/vectors are None, expected \(5,\)"),
        (change("mean/vectors.scale", lambda t: t[:1]), r"are \(1,\), expected \(5,\)"),
        (change("mean/vectors", torch.Tensor.half), r"mean/vectors .* beside int8 numbers"),
        (put("table_images", torch.tensor([1, 2])), "table_images"),
        (put("table_images", torch.tensor(-1)), "table_images"),
        (put("table_images", torch.tensor(float("nan"))), "table_images"),
        (put("network_learned", torch.tensor([True, False])), "network_learned"),
        (put("plan_sha256", torch.zeros(32)), "plan was edited"),
        (change("relu/steps", torch.Tensor.float), "relu/steps is torch.float32"),
        (change("relu/steps", lambda t: -t), "quantizers of relu are out of bounds"),
        (change("relu/steps", lambda t: 0 * t), "quantizers of relu are out of bounds"),
        (change("relu/steps", lambda t: t[0]), r"relu/widths is .*\(1,\), expected .*\(\)"),
        (change("relu/steps", nan_first), "relu/steps is not finite"),
        (change("relu/widths", lambda t: t + 17), "quantizers of relu are out of bounds"),
        (change("relu/widths", lambda t: t.repeat(2)), r"relu/widths is .*\(2,\), .*\(1,\)"),
        (put("relu/lowest", torch.tensor(3, dtype=torch.int16)), "quantizers of relu are out"),
        (put("relu/lowest", torch.tensor(-3)), "relu/lowest is torch.int64"),
        (change("mean/quantizer_of", lambda t: t[1:]), "mean has 1 bytes of indices, expected 2"),
        (change("relu#2/quantizer_of", lambda t: t | 255), "indices of relu#2 are out of bounds"),
        (change("relu/class_of", lambda t: t.repeat(2)), "relu has 4 bytes of indices, expected 2"),
        (change("relu/class_of", torch.Tensor.long), "relu/class_of is torch.int64"),
        (change("relu/mean", nan_first), "relu/mean is not finite"),
        (change("relu/offset", lambda t: t[1:]), r"relu/offset is .*\(7,\), expected .*\(8,\)"),
        (change("relu/mean", torch.Tensor.double), "relu/mean is torch.float64"),
        (change("relu/vectors", lambda t: t.T), r"scales of relu/vectors are \(5,\), .* \(8,\)"),
        (change("relu/vectors", lambda t: t[:, 1:]), "transform of relu does not make"),
        (change("relu/vectors", torch.Tensor.long), "relu/vectors is torch.int64"),
        (change("relu/vectors.scale", torch.Tensor.half), "relu/vectors.scale is torch.float16"),
        (change("relu/vectors.scale", nan_first), "relu/vectors.scale is not finite"),
        (change("tables/entries", lambda t: -t), "code tables are out of bounds"),
        (change("tables/entries", lambda t: t[1:]), "code tables are out of bounds"),
        (change("tables/entries", lambda t: t | 32767), "leaves nothing for escapes"),
        (change("tables/entries", torch.Tensor.long), "tables/entries is torch.int64"),
        (change("tables/first", lambda t: t[1:]), "tables/last is of 16 code tables, expected 15"),
        (change("tables/last", lambda t: t - 99), "code tables are out of bounds"),
        (change("tables/range", lambda t: t.flip(0)), "code tables are out of bounds"),
        (change("tables/range", lambda t: t[:1]), "code tables are out of bounds"),
        (change("tables/range", lambda t: t * 200), "code tables are out of bounds"),
        (change("tables/table_of", lambda t: t | 255), "code tables are out of bounds"),
        (change("tables/table_of", lambda t: t[:, 1:]), "code tables are out of bounds"),
        (change("tables/table_of", torch.Tensor.short), "code tables are out of bounds"),
    ],
)
def test_every_damaged_tensor_is_named(
    saved: Path, graph: Graph, edit: Edit, complaint: str
) -> None:
    tensors = read_tensors(saved / CODEC)
    edit(tensors)
    write_tensors(saved / CODEC, tensors)
    with pytest.raises(RunError, match=rf"codec\.safetensors.*{complaint}"):
        load_model_from(saved, graph)


@pytest.mark.parametrize(
    ("transform", "key"),
    [
        (Transform.DCT, "relu/rows"),
        (Transform.BLOCK_PCA, "relu/clusters"),
        (Transform.BLOCK_PCA, "relu/order"),
    ],
)
@pytest.mark.parametrize(("shift", "complaint"), [(-8, "are below zero"), (99, "does not make")])
def test_indices_that_there_are_not_are_refused(  # noqa: PLR0917
    make_pressed: MakePressed,
    graph: Graph,
    tmp_path: Path,
    transform: Transform,
    key: str,
    shift: int,
    complaint: str,
) -> None:
    save_model(make_pressed(transform, rank=5), tmp_path)
    tensors = read_tensors(tmp_path / CODEC)
    write_tensors(tmp_path / CODEC, {**tensors, key: tensors[key] + shift})
    with pytest.raises(RunError, match=rf"codec\.safetensors: .*{complaint}"):
        load_model_from(tmp_path, graph)


def edit_plan(folder: Path, **changes: object) -> None:
    """Change the plan, or its first site where the plan has no such field."""
    content = json.loads((folder / PLAN).read_text())
    for key, value in changes.items():
        (content if key in content else content["sites"][0])[key] = value
    (folder / PLAN).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 1}, "format version 1 of an earlier actpress.*version 2; compress again"),
        ({"version": 3}, "format version 3, but this actpress reads version 2; upgrade actpress"),
        ({"rank": 9}, "site relu: rank 9 exceeds its 8 components"),
        ({"rank": 0}, "not a valid plan: sites.0.rank"),
        ({"step": -1.0}, "not a valid plan: sites.0.step"),
        ({"number_bits": 5}, "not a valid plan: sites.0.number_bits"),
        ({"channels": 1 << 30}, "not a valid plan: sites.0.channels"),
        ({"transform": "wavelet"}, "wavelet"),
        ({"transform": "../pca"}, "not a valid plan: sites.0.transform"),
        ({"fingerprint": "0" * 64}, "belongs to another network: its fingerprint is 000000000000"),
        ({"channels": 1 << 20, "rank": 1 << 20}, "the plan has 1048576 channels, the network 8"),
    ],
)
def test_a_damaged_plan_is_refused(
    saved: Path, graph: Graph, change: dict[str, object], complaint: str
) -> None:
    edit_plan(saved, **change)
    with pytest.raises(PlanError, match=complaint) as refusal:
        load_model_from(saved, graph)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "change", [{"rank": 4}, {"step": 0.25}, {"placement": "post_act"}, {"site": "relu#9"}]
)
def test_an_edited_plan_does_not_belong_to_the_codecs(
    saved: Path, graph: Graph, change: dict[str, object]
) -> None:
    edit_plan(saved, **change)
    with pytest.raises((PlanError, RunError, ModelError), match=r"plan was edited|relu#9"):
        load_model_from(saved, graph)


def test_a_reformatted_plan_is_the_same_plan(saved: Path, graph: Graph) -> None:
    content = json.loads((saved / PLAN).read_text())
    (saved / PLAN).write_text(json.dumps(content, indent=7))
    load_model_from(saved, graph)


def test_a_run_of_another_network_is_refused(saved: Path, other_graph: Graph) -> None:
    with pytest.raises(PlanError, match="belongs to another network"):
        load_model_from(saved, other_graph)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 2}', "\x00\xff"])
def test_text_that_is_no_plan_metrics_or_source_is_refused(
    saved: Path, graph: Graph, text: str
) -> None:
    for name in (PLAN, METRICS, SOURCE):
        (saved / name).write_bytes(text.encode("latin-1"))
    for read in (lambda: load_model_from(saved, graph), lambda: load_metrics(saved)):
        with pytest.raises(ActpressError, match=r"(valid|cannot read|damaged)"):
            read()
    with pytest.raises(RunError, match="damaged"):
        load_source(saved)


@pytest.fixture
def metrics(make_pressed: MakePressed, graph: Graph, dataset: Dataset) -> Metrics:
    return evaluate(make_pressed(), graph, dataset.test, RunInfo(model="m", method="gdr"))


def test_metrics_and_sources_read_back_equal(metrics: Metrics, tmp_path: Path) -> None:
    write_text(tmp_path / METRICS, metrics_json(metrics))
    assert load_metrics(tmp_path) == metrics
    source = Source(
        model="a:b",
        model_args='{"x": 1}',
        data="tiny",
        input=(1, 8, 8),
        leaves=("l",),
        weights_sha256="0" * 64,
    )
    write_text(tmp_path / SOURCE, source.model_dump_json())
    assert load_source(tmp_path) == source
    assert sorted(path.name for path in tmp_path.iterdir()) == [METRICS, SOURCE]


@pytest.mark.parametrize("version", [1, 3])
def test_metrics_of_another_version_are_refused(
    metrics: Metrics, tmp_path: Path, version: int
) -> None:
    other = metrics.model_copy(update={"version": version})
    write_text(tmp_path / METRICS, metrics_json(other))
    with pytest.raises(RunError, match=f"version {version}, but this actpress reads version 2"):
        load_metrics(tmp_path)


# The folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "run"
    with new_folder(target, force=False) as partial:
        (partial / PLAN).write_text("new")
        assert not target.exists()
    assert (target / PLAN).read_text() == "new"
    assert names(tmp_path / "deep") == ["run"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_block_that_raises_leaves_nothing_and_the_old_run(
    tmp_path: Path,
    existing: bool,  # noqa: FBT001
) -> None:
    target = tmp_path / "run"
    if existing:
        target.mkdir()
        (target / PLAN).write_text("old")
    before = names(tmp_path)

    with pytest.raises(KeyboardInterrupt), new_folder(target, force=True) as partial:  # noqa: PT012
        (partial / PLAN).write_text("new")
        raise KeyboardInterrupt

    assert names(tmp_path) == before
    if existing:
        assert (target / PLAN).read_text() == "old"


def test_an_existing_target_needs_force(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / PLAN).write_text("old")
    with (
        pytest.raises(RunError, match=r"exists already; choose another --out, or .* --force"),
        new_folder(target, force=False),
    ):
        pass
    with new_folder(target, force=True) as partial:
        (partial / PLAN).write_text("new")
    assert (target / PLAN).read_text() == "new"
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_run_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.tex").write_text("x")
    else:
        target.write_text("x")
    with (
        pytest.raises(
            RunError,
            match=r"was not made by this command .* not replaced even with --force"
            if kind == "folder"
            else "precious exists and is no folder; choose another --out",
        ),
        new_folder(target, force=True),
    ):
        pass
    assert names(tmp_path) == ["precious"]
    assert target.is_file() or names(target) == ["thesis.tex"]


def test_an_empty_folder_may_be_filled_with_force(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with new_folder(tmp_path / "run", force=True) as partial:
        (partial / PLAN).write_text("new")
    assert names(tmp_path / "run") == [PLAN]


def test_what_differs_between_two_requests_is_named() -> None:
    settings = Settings()
    other = replace(settings, block=2, tune=replace(settings.tune, steps=7))
    before, now = ({"method": "cap", "settings": facts_of(each)} for each in (settings, other))
    assert differences(before, json.loads(json.dumps(before))) == ""
    told = differences(before, now | {"method": "gdr"})
    assert "method was cap, is gdr" in told
    assert "settings.block was automatic, is 2" in told
    assert f"settings.tune.steps was {settings.tune.steps}, is 7" in told
    assert told.count(" was ") == 3

"""What is counted is what is stored, and what a search believed is what its files say."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from actpress.allocate import SearchSettings
from actpress.budget import Budget
from actpress.calibration import Statistics
from actpress.codec.transform import FAMILIES, Basis, Factors, Moments, Size
from actpress.codec.transform.basis import orthonormal
from actpress.data.dataset import Dataset
from actpress.evaluation import RunInfo, evaluate
from actpress.graph import Graph
from actpress.methods import METHODS
from actpress.pipeline.job import Job
from actpress.pipeline.settings import Settings
from actpress.plan import Plan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.run import load_model_from, save_model
from actpress.settings import NumberBits
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    tune=TuneSettings(steps=4, batch_size=16, validate_every=2, validation_images=32),
)


def stored_bits(folder: Path) -> int:
    """Of all tensors of a run folder, but for those that say what the file belongs to."""
    with safe_open(str(folder / "codec.safetensors"), framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys() if "/" in name]  # noqa: SIM118
    return sum(8 * tensor.numel() * tensor.element_size() for tensor in tensors)


def counted_bits(pressed: CompressedModel) -> int:
    """What is fetched of all codecs, were nothing folded."""
    codecs = pressed.codecs.values()
    own = sum(codec.parameter_bits() + codec.class_bits() for codec in codecs)
    return int(own + pressed.table_bits())


@pytest.mark.parametrize("number_bits", NumberBits)
@pytest.mark.parametrize("transform", [t for t in Transform if t is not Transform.HAAR_PCA])
def test_stored_are_exactly_the_bits_that_are_counted(  # noqa: PLR0917
    graph: Graph,
    statistics: Statistics,
    images: Tensor,
    make_plan: Callable[..., Plan],
    tmp_path: Path,
    transform: Transform,
    number_bits: NumberBits,
) -> None:
    plan = make_plan(transform, rank=5)
    sites = tuple(site.model_copy(update={"number_bits": number_bits}) for site in plan)
    pressed = press(graph, plan.model_copy(update={"sites": sites}), statistics)
    fit_tables(pressed, images.split(64))
    save_model(pressed, tmp_path)
    assert stored_bits(tmp_path) == counted_bits(pressed)


@pytest.mark.parametrize(
    ("method", "budget"),
    [
        ("gdr", "2x"),
        ("gdr", "2x (fixed)"),
        ("gdr", "2x-energy"),
        ("gdr", "3bits (entropy, batch 16)"),
        ("cap", "2x"),
        ("codesign", "2x (fixed)"),
        ("layerwise_ilp", "2x-energy"),
    ],
)
def test_files_alone_give_the_price_that_the_method_believed(
    graph: Graph, dataset: Dataset, tmp_path: Path, method: str, budget: str
) -> None:
    job = Job(graph, dataset, Budget.parse(budget), SMALL)
    outcome = METHODS[method](job)
    save_model(outcome.pressed, tmp_path)
    assert stored_bits(tmp_path) == counted_bits(outcome.pressed)
    read = load_model_from(tmp_path, graph)
    calibration = dataset.train.take(SMALL.calibration_images)
    metrics = evaluate(read, graph, calibration, RunInfo(batch=job.budget.batch))
    view = job.budget.view
    uses = [site.use(view) for site in metrics.sites]
    price = job.objective.total(uses, read.table_bits())
    believed = job.price(outcome.pressed)
    assert price == pytest.approx(believed, rel=1e-7)
    assert believed <= job.target()


@dataclass(frozen=True)
class Reversed:
    """Channels in reverse order: of no use, but a transform."""

    name: str = "reversed"
    fitted: bool = False
    needs_metric: bool = False
    trained: bool = False

    def refuses(self, channels: int, block: int) -> str | None:
        del channels
        return "takes single pixels" if block > 1 else None

    def fit(self, moments: Moments) -> Basis:
        size = len(moments.covariance)
        return orthonormal(torch.eye(size, dtype=torch.float64).flip(0), moments, {})

    def stored(self, basis: Basis) -> Factors:
        assert basis.rows is not None
        return {"rows": basis.rows}

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del block
        encoder = torch.eye(channels).flip(0)[factors["rows"]]
        return encoder, encoder.T.contiguous()

    def size(self, channels: int, block: int, rank: int) -> Size:
        del channels, block
        return Size(vectors=rank)


@pytest.fixture
def reversed_family(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(FAMILIES, "reversed", Reversed())
    return "reversed"


def test_a_new_transform_is_one_object_and_a_line_in_the_registry(
    graph: Graph, dataset: Dataset, tmp_path: Path, reversed_family: str
) -> None:
    settings = Settings(
        calibration_images=64,
        search_images=16,
        search=SearchSettings(transforms=(reversed_family,)),
    )
    job = Job(graph, dataset, Budget.parse("2x (entropy, activations)"), settings)
    outcome = METHODS["gdr"](job)
    assert {site.transform for site in outcome.pressed.plan} == {reversed_family}
    save_model(outcome.pressed, tmp_path)
    assert stored_bits(tmp_path) == counted_bits(outcome.pressed)
    read = load_model_from(tmp_path, graph)
    expected = evaluate(outcome.pressed, graph, dataset.test, RunInfo())
    assert evaluate(read, graph, dataset.test, RunInfo()) == expected
    x = next(dataset.test.batches(8))[0]
    with torch.no_grad():
        assert read(x).equal(outcome.pressed(x))

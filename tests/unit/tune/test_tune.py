"""Tuning: resumable to the bit, frozen where it must be, bounded in its bits."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actpress.codec.training_pass import pass_in_training
from actpress.data.dataset import Dataset, Split
from actpress.errors import DataError, TuningError
from actpress.graph import Graph
from actpress.plan import Transform
from actpress.pressing import CompressedModel, fit_tables
from actpress.stream import through_bytes
from actpress.tasks import CLASSIFICATION
from actpress.tune import (
    Learned,
    Progress,
    RateBound,
    Trainable,
    TuneReport,
    TuneSettings,
    align_rate_model,
    tune,
)
from actpress.tune.rate import rates_alone

Make = Callable[[], tuple[CompressedModel, float]]
QUICK = TuneSettings(
    steps=12,
    batch_size=32,
    validate_every=4,
    validation_images=32,
    encoder_lr=1e-2,
    decoder_lr=3e-2,
)
LOOSER = 1.02  # of the present bits: the bound is active


class KilledError(Exception):
    """Stands for a power cut."""


@pytest.fixture
def train(graph: Graph, dataset: Dataset, aggressive: Make) -> Callable[..., Any]:
    """Tune a fresh pressed network; returns it and the report."""

    def run(settings: TuneSettings = QUICK, **options: Any) -> tuple[CompressedModel, TuneReport]:
        pressed, bits = aggressive()
        options = {"target_bits": LOOSER * bits, **options}
        data = options.pop("data", dataset.train)
        return pressed, tune(pressed, graph, data, dataset.holdout, settings, **options)

    return run


def state(pressed: CompressedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in pressed.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    differing = [name for name in one if not one[name].equal(other[name])]
    assert not differing


def last_state(path: Path) -> dict[str, Tensor]:
    """The weights at the end of a run, also where an earlier state was the best and was kept."""
    model: dict[str, Tensor] = torch.load(path, weights_only=True)["model"]
    return model


def kill_at(step: int) -> Callable[[Progress], None]:
    def on_step(progress: Progress) -> None:
        if progress.step == step:
            raise KilledError

    return on_step


@pytest.mark.parametrize("kills", [(1,), (4,), (5,), (9, 11), (12,)])
def test_a_killed_run_ends_with_the_same_weights(
    train: Callable[..., Any], tmp_path: Path, kills: tuple[int, ...]
) -> None:
    whole, report = train(checkpoint=tmp_path / "whole.pt")
    path = tmp_path / "parts.pt"
    for step in kills:
        with pytest.raises(KilledError):
            train(checkpoint=path, on_step=kill_at(step))

    resumed, again = train(checkpoint=path)

    assert_same(state(whole), state(resumed))
    assert_same(last_state(tmp_path / "whole.pt"), last_state(path))
    assert again.steps == report.steps == QUICK.steps
    assert (again.loss_before, again.loss_after) == (report.loss_before, report.loss_after)


PROGRAM = """
import pathlib
import time

import pytest

@pytest.fixture
def slow():
    def on_step(progress):
        time.sleep(0.2 if progress.step > 4 else 0)
    return on_step

def test_run(graph, dataset, make_pressed, images, slow):
    from actpress.plan import Transform
    from actpress.tune import TuneSettings, align_rate_model, tune
    pressed = make_pressed(Transform.LEARNED, rank=3, coarseness=2.5)
    align_rate_model(pressed, [images[:64]], pressed.coded_bits)
    bits = sum(pressed.coded_bits.values())
    settings = TuneSettings(
        steps=12,
        batch_size=32,
        validate_every=4,
        validation_images=32,
        encoder_lr=1e-2,
        decoder_lr=3e-2,
    )
    path = pathlib.Path({path!r})
    tune(pressed, graph, dataset.train, dataset.holdout, settings, target_bits=1.02 * bits,
         checkpoint=path, on_step=slow)
"""


def test_a_process_killed_after_its_first_checkpoint_resumes_to_the_bit(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "killed.pt"
    shared = Path(__file__).parents[2] / "conftest.py"
    (tmp_path / "conftest.py").write_text(shared.read_text())
    program = tmp_path / "test_program.py"
    program.write_text(PROGRAM.replace("{path!r}", repr(str(path))))
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(program)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 100
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still running"

    resumed, _ = train(checkpoint=path)

    whole, _ = train(checkpoint=tmp_path / "whole.pt")
    assert_same(state(whole), state(resumed))
    assert_same(last_state(tmp_path / "whole.pt"), last_state(path))


def test_training_alone_takes_the_training_pass(
    train: Callable[..., Any], images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a network gives with gradients on, outside of training, is what its bytes give."""
    module = importlib.import_module("actpress.codec.site_codec")
    passed: list[tuple[int, ...]] = []

    def recorded(x: Tensor, *rest: Any) -> Any:
        passed.append(tuple(x.shape))
        return pass_in_training(x, *rest)

    monkeypatch.setattr(module, "pass_in_training", recorded)
    pressed, _ = train()
    assert passed
    passed.clear()
    with through_bytes(pressed), torch.no_grad():
        restored = pressed(images)
    output = pressed(images.clone().requires_grad_())
    assert output.requires_grad
    assert output.equal(restored)
    assert not passed


def test_mixed_precision_trains_almost_the_same(train: Callable[..., Any]) -> None:
    losses: dict[bool | None, list[float]] = {}
    for mixed in (None, False, True):
        seen = losses.setdefault(mixed, [])
        settings = replace(QUICK, mixed_precision=mixed)
        train(settings, on_step=lambda progress, seen=seen: seen.append(progress.loss))
    assert losses[None] == losses[False], "on a CPU it is asked for"
    assert losses[True] != losses[False]
    assert losses[True][:3] == pytest.approx(losses[False][:3], rel=0.2)
    assert sum(losses[True]) == pytest.approx(sum(losses[False]), rel=0.3)


def test_what_a_state_really_costs_decides_what_is_kept(train: Callable[..., Any]) -> None:
    costs = iter((-0.1, 0.1, -0.1, 0.1))
    asked: list[float] = []

    def measure() -> float:
        asked.append(next(costs))
        return asked[-1]

    train(settle=measure)
    assert asked == [-0.1, 0.1, -0.1, 0.1], "at the start, and at every validation"
    with pytest.raises(TuningError, match=r"held its bits \(they exceeded the bound by 7\.0 %\)"):
        train(settle=lambda: 0.07)


def test_a_finished_checkpoint_gives_the_result_without_a_step(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    whole, _ = train(checkpoint=tmp_path / "tune.pt")
    again, report = train(checkpoint=tmp_path / "tune.pt", on_step=kill_at(1))
    assert_same(state(whole), state(again))
    assert report.steps == QUICK.steps


def test_checkpoints_leave_no_partial_file(train: Callable[..., Any], tmp_path: Path) -> None:
    train(checkpoint=tmp_path / "deep" / "tune.pt")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["tune.pt"]


def test_an_image_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    train: Callable[..., Any], dataset: Dataset, tmp_path: Path
) -> None:
    asked = 0

    def poisoned(raw: Tensor) -> Tensor:
        nonlocal asked
        asked += 1  # the first batch is for the learning rates
        return raw * float("nan") if asked == 7 else raw

    images = dataset.train.source.load(torch.arange(len(dataset.train)))
    data = Split.in_memory(images, dataset.train.labels, poisoned)
    path = tmp_path / "tune.pt"

    with pytest.raises(DataError, match=r"image \d+ .* holds NaN or infinite values"):
        train(data=data, checkpoint=path)

    resumed, report = train(checkpoint=path)
    whole, _ = train()
    assert report.steps == QUICK.steps
    assert_same(state(whole), state(resumed))


def test_an_absurd_learning_rate_is_named(train: Callable[..., Any]) -> None:
    with pytest.raises(TuningError, match=r"diverged at step .* lower the learning rates"):
        train(replace(QUICK, encoder_lr=1e30, grad_clip=1e9))


def test_a_harmful_run_never_ends_worse_than_it_began(
    train: Callable[..., Any], aggressive: Make
) -> None:
    before = state(aggressive()[0])
    pressed, report = train(replace(QUICK, encoder_lr=3.0))
    assert report.loss_after == report.loss_before
    assert_same(state(pressed), before)


@pytest.mark.parametrize("change", [{"encoder_lr": 1e-3}, {"seed": 1}, {"steps": 13}])
def test_a_checkpoint_of_other_settings_is_refused(
    train: Callable[..., Any], tmp_path: Path, change: dict[str, float]
) -> None:
    path = tmp_path / "tune.pt"
    train(checkpoint=path)
    with pytest.raises(TuningError, match="belongs to another plan or other settings"):
        train(replace(QUICK, **change), checkpoint=path)
    with pytest.raises(TuningError, match="belongs to another plan or other settings"):
        train(checkpoint=path, target_bits=1.0)


def test_a_checkpoint_of_another_plan_is_refused(
    train: Callable[..., Any],
    graph: Graph,
    dataset: Dataset,
    make_pressed: Callable[..., CompressedModel],
    tmp_path: Path,
) -> None:
    _, bits = train(checkpoint=tmp_path / "tune.pt")[0], 1.0
    other = make_pressed(Transform.LEARNED, rank=2, coarseness=2.5)
    with pytest.raises(TuningError, match="belongs to another plan"):
        tune(
            other,
            graph,
            dataset.train,
            dataset.holdout,
            QUICK,
            target_bits=bits,
            checkpoint=tmp_path / "tune.pt",
        )


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(
    train: Callable[..., Any], tmp_path: Path, share: float
) -> None:
    path = tmp_path / "tune.pt"
    train(replace(QUICK, steps=1), checkpoint=path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TuningError, match=r"cannot read the checkpoint .*delete it to start again"):
        train(replace(QUICK, steps=1), checkpoint=path)


@pytest.mark.parametrize("content", [[1, 2], {"identity": "x"}, torch.zeros(3), {1: 2}, None])
def test_a_checkpoint_of_something_else_is_refused(
    train: Callable[..., Any], tmp_path: Path, content: object
) -> None:
    path = tmp_path / "tune.pt"
    torch.save(content, path)
    with pytest.raises(TuningError, match="cannot read the checkpoint"):
        train(checkpoint=path)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_checkpoint_never_executes_code(train: Callable[..., Any], tmp_path: Path) -> None:
    path, witness = tmp_path / "tune.pt", tmp_path / "executed"
    torch.save({"identity": Bomb(witness)}, path)
    with pytest.raises(TuningError, match="cannot read the checkpoint"):
        train(checkpoint=path)
    assert not witness.exists()


def changed(pressed: CompressedModel, before: dict[str, Tensor]) -> set[str]:
    after = pressed.state_dict()
    return {name.split(".")[-1] for name in before if not after[name].equal(before[name])}


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        (Trainable.DECODER, {"decoder", "offset", "step"}),
        (Trainable.PROJECTIONS, {"encoder", "mean", "decoder", "offset", "step"}),
    ],
)
def test_only_what_may_learn_changes(
    graph: Graph,
    dataset: Dataset,
    aggressive: Make,
    trainable: Trainable,
    expected: set[str],
) -> None:
    pressed, bits = aggressive()
    before = state(pressed)
    weights = {name: tensor.clone() for name, tensor in graph.root.state_dict().items()}
    settings = replace(QUICK, trainable=trainable)

    tune(pressed, graph, dataset.train, dataset.holdout, settings, target_bits=2 * bits)

    assert changed(pressed, before) == expected
    assert_same(weights, dict(graph.root.state_dict()))
    assert not any(parameter.requires_grad for parameter in pressed.parameters())
    assert not pressed.training


def test_matrices_that_are_not_free_keep_to_their_transform(
    graph: Graph, dataset: Dataset, make_pressed: Callable[..., CompressedModel]
) -> None:
    """Their steps alone are trained."""
    pressed = make_pressed(Transform.PCA, rank=3, coarseness=2.5)
    before, bits = state(pressed), sum(pressed.coded_bits.values())
    tune(pressed, graph, dataset.train, dataset.holdout, QUICK, target_bits=2 * bits)
    assert changed(pressed, before) == {"step"}


def test_nothing_to_train_is_said(graph: Graph, dataset: Dataset, aggressive: Make) -> None:
    pressed, bits = aggressive()
    for learned in ([], [Learned((), 0.1)]):
        with pytest.raises(TuningError, match="nothing to train: no site of the plan has a learn"):
            tune(
                pressed,
                graph,
                dataset.train,
                dataset.holdout,
                QUICK,
                target_bits=bits,
                learned=learned,
            )


def test_the_network_learns_when_asked_but_keeps_its_norm_statistics(
    graph: Graph, dataset: Dataset, aggressive: Make
) -> None:
    pressed, bits = aggressive()
    before = state(pressed)
    weights = {name: tensor.clone() for name, tensor in graph.root.state_dict().items()}
    settings = replace(QUICK, trainable=Trainable.NETWORK, network_lr=1e-3)

    tune(pressed, graph, dataset.train, dataset.holdout, settings, target_bits=2 * bits)

    assert {"weight", "bias", "encoder", "decoder"} <= changed(pressed, before)
    assert not {"running_mean", "running_var"} & changed(pressed, before)
    assert_same(weights, dict(graph.root.state_dict()))


def test_tuning_lowers_the_loss_and_holds_the_bits(
    graph: Graph, dataset: Dataset, images: Tensor, aggressive: Make
) -> None:
    pressed, target = aggressive()
    settings = replace(QUICK, steps=80, batch_size=64, validate_every=20)
    settings = replace(settings, validation_images=96)

    report = tune(pressed, graph, dataset.train, dataset.holdout, settings, target_bits=target)

    for codec in pressed.codecs.values():
        if hasattr(codec.projection, "round_to_stored"):
            codec.projection.round_to_stored()
    fit_tables(pressed, images.split(64))
    assert report.loss_after < 0.7 * report.loss_before
    assert sum(pressed.coded_bits.values()) <= 1.03 * target


def test_a_lower_target_lowers_the_bits(graph: Graph, dataset: Dataset, aggressive: Make) -> None:
    pressed, bits = aggressive()
    settings = replace(QUICK, steps=100, batch_size=64, validate_every=50, encoder_lr=3e-2)
    rates: list[float] = []

    tune(
        pressed,
        graph,
        dataset.train,
        dataset.holdout,
        settings,
        target_bits=0.85 * bits,
        on_step=lambda progress: rates.append(progress.rate_bits),
    )

    assert rates[0] > 0.9 * bits
    assert sum(rates[-10:]) / 10 <= 1.03 * 0.85 * bits


def test_aligned_rates_are_the_tables_bits(aggressive: Make, images: Tensor) -> None:
    pressed, total = aggressive()
    align_rate_model(pressed, images.split(64), pressed.coded_bits)
    with torch.enable_grad():
        smooth = [pressed.forward_with_rate(batch)[1].item() for batch in images.split(64)]

    assert sum(smooth) / len(smooth) == pytest.approx(total, rel=1e-4)


def test_rates_alone_are_those_of_training_and_keep_no_graph(
    aggressive: Make, images: Tensor
) -> None:
    pressed, _ = aggressive()
    pressed.requires_grad_(True)
    with torch.enable_grad():
        trained = pressed.forward_with_rate(images[:32])[1]
    with rates_alone(pressed):
        alone = pressed.forward_with_rate(images[:32])[1]
    assert trained.requires_grad
    assert not alone.requires_grad
    assert alone.equal(trained.detach())
    assert all(parameter.requires_grad for parameter in pressed.parameters())


def test_the_multiplier_follows_the_excess() -> None:
    bound = RateBound(100.0)
    start = bound.multiplier
    bound.update(torch.tensor(150.0))
    assert bound.multiplier > start
    assert bound.recent_excess > 0
    for _ in range(50):
        bound.update(torch.tensor(10.0))
    assert bound.multiplier == 0
    assert bound.recent_excess < 0
    assert bound.loss(torch.tensor(10.0)) == 0, "below the target bits are free"
    for _ in range(50):
        bound.update(torch.tensor(1e9))
    assert bound.multiplier == 10


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"batch_size": 0}, {"validate_every": 0}, {"validation_images": -1}]
)
def test_counts_must_be_positive(options: dict[str, int]) -> None:
    with pytest.raises(TuningError, match="must be at least 1"):
        TuneSettings(**options)  # type: ignore[arg-type]


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(TuningError, match="temperature must be positive"):
        TuneSettings(temperature=0)


def test_distillation_keeps_the_size_of_its_gradients_at_any_temperature() -> None:
    torch.manual_seed(0)
    teacher, noise = torch.randn(64, 10, dtype=torch.float64), torch.randn(64, 10).double()
    losses = [
        float(CLASSIFICATION.divergence(teacher + 1e-3 * noise, teacher, temperature=temperature))
        for temperature in (30.0, 60.0)
    ]
    # In the limit of high temperature the loss is the variance of the logit error over classes / 2.
    limit = float((1e-3 * noise).var(dim=1, unbiased=False).mean() / 2)
    assert losses == pytest.approx([limit, limit], rel=0.05)
    same = CLASSIFICATION.divergence(teacher, teacher, temperature=3.0)
    assert float(same) == pytest.approx(0, abs=1e-12)


def test_some_loss_must_be_minimised() -> None:
    with pytest.raises(TuningError, match="at least one of the weights"):
        TuneSettings(distillation=0)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    settings = TuneSettings(steps=100)
    shares = [settings.lr_share(step) for step in range(100)]
    assert shares[0] < 0.1
    assert max(shares) == pytest.approx(1, abs=0.05)
    assert 9 <= shares.index(max(shares)) <= 11
    assert shares[-1] < 0.01

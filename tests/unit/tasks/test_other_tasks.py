"""Tasks whose outputs are numbers or several labels: metric, agreement, divergence, score."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError, TaskError
from actpress.tasks import (
    Classification,
    Custom,
    DenseRegression,
    Metric,
    MultiLabel,
    Regression,
    Task,
    Unlabelled,
)
from actpress.tasks.nest import floats, joined, leaves


def mean_error(outputs: Any, targets: Any) -> float:
    return float((outputs[0] - targets).abs().mean())


CUSTOM = Custom(mean_error, Metric("error", "px", higher_is_better=False))


def test_psnr_is_the_mean_over_images() -> None:
    task = DenseRegression(peak=2.0)
    target = torch.zeros(2, 1, 2, 2)
    output = torch.stack([torch.full((1, 2, 2), 0.2), torch.full((1, 2, 2), 0.02)])
    expected = (10 * math.log10(4 / 0.04) + 10 * math.log10(4 / 0.0004)) / 2
    evidence = task.evidence(task.decisions(output), target)
    assert task.measure(evidence) == pytest.approx(expected, abs=1e-4)
    assert task.measure(task.evidence(target, target)) == 100.0
    with pytest.raises(TaskError, match="the PSNR is nan"):
        task.measure(torch.tensor([float("nan")], dtype=torch.float64))


def test_the_mean_absolute_error_takes_both_forms_of_one_number() -> None:
    task = Regression(unit="mm")
    output, target = torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 3.0])
    task.check(output, target, images=2)
    assert task.measure(task.evidence(task.decisions(output), target)) == 0.5
    assert task.metric == Metric("mean absolute error", "mm", higher_is_better=False)
    assert task.loss(output, target) == 0.5
    with pytest.raises(ModelError, match=r"shape \(2, 1\), its targets \(2, 3\)"):
        task.check(output, torch.zeros(2, 3), images=2)


def test_numbers_are_no_shares() -> None:
    with pytest.raises(TaskError, match="the unit % is that of shares"):
        Regression(unit="%")


def test_f1_is_over_all_decisions() -> None:
    task = MultiLabel(labels=3)
    output = torch.tensor([[1.0, -1.0, 2.0], [-1.0, -1.0, 3.0]])
    target = task.as_target(torch.tensor([[True, True, False], [False, False, True]]))
    assert target is not None
    evidence = task.evidence(task.decisions(output), target)
    assert task.measure(evidence) == pytest.approx(2 * 2 / (3 + 3))
    assert task.measure(torch.zeros(2, 3, dtype=torch.int64)) == 1.0
    assert task.as_target(torch.tensor([[0.5, 0, 1]])) is None
    expected = F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1).mean()
    assert task.loss(output, target) == pytest.approx(float(expected))


def test_a_binary_classifier_takes_zeros_and_ones_of_any_type() -> None:
    task = Classification(binary=True)
    for raw in (torch.tensor([[1.0], [0.0]]), torch.tensor([True, False])):
        taken = task.as_target(raw)
        assert taken is not None
        assert taken.tolist() == [1, 0]
    assert task.as_target(torch.tensor([0.0, 2.0])) is None
    assert Classification().as_target(torch.tensor([1.0])) is None


def test_agreement_of_numbers_is_the_share_of_variance_kept() -> None:
    task = Regression()
    reference = torch.tensor([[0.0], [2.0], [4.0]])
    half = torch.tensor([[1.0], [2.0], [3.0]])
    assert task.agreement(task.sameness(half, reference)) == pytest.approx(1 - 2 / 8)
    assert task.agreement(task.sameness(reference, reference)) == 1.0
    assert task.agreement(task.sameness(100 + reference, reference)) == 0.0


@pytest.mark.parametrize(
    ("task", "shape"),
    [(Regression(), (1, 5)), (DenseRegression(), (1, 2, 3, 3)), (MultiLabel(labels=4), (1, 4))],
)
def test_the_score_gives_the_fisher_information_of_the_divergence(
    task: Task, shape: tuple[int, ...]
) -> None:
    """Half of delta' F delta is the divergence of a small change."""
    output = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    delta = 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(2))
    repeated = output.expand(40_000, *shape[1:]).clone().requires_grad_()
    task.score(repeated, torch.Generator().manual_seed(0)).backward()
    assert repeated.grad is not None
    along = (repeated.grad * delta).flatten(1).sum(1)
    predicted = 0.5 * float(along.square().mean())
    assert predicted == pytest.approx(float(task.divergence(output + delta, output)), rel=0.06)


def test_a_divergence_of_numbers_has_no_unit() -> None:
    task = DenseRegression()
    student, teacher = torch.rand(2, 2, 1, 4, 4)
    assert task.divergence(student, teacher) == pytest.approx(
        float(task.divergence(1000 * student, 1000 * teacher)), rel=1e-5
    )


def test_a_custom_metric_is_given_all_outputs_and_targets() -> None:
    batches = [([torch.ones(2, 3), torch.zeros(2)], torch.zeros(2, 3)) for _ in range(2)]
    evidence = joined([CUSTOM.evidence(CUSTOM.decisions(out), target) for out, target in batches])
    assert evidence[0][0].shape == (4, 3)
    assert CUSTOM.measure(evidence) == 1.0


def test_targets_of_detection_are_one_list_of_an_entry_for_each_image() -> None:
    boxes = [[{"boxes": torch.zeros(n, 4)} for n in counts] for counts in ((1, 2), (3,))]
    seen: list[Any] = []
    task = Custom(lambda outputs, targets: seen.append(targets) or 0.0, Metric("count", ""))
    task.measure(joined([task.evidence((torch.zeros(len(b), 1),), b) for b in boxes]))
    assert [len(entry["boxes"]) for entry in seen[0]] == [1, 2, 3]


def fails(_outputs: Any, _targets: Any) -> float:
    raise KeyError("boxes")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Custom(fails, Metric("mAP")), "function of the metric 'mAP' raises KeyError: 'boxes'"),
        (Custom(lambda *_: float("nan"), Metric("mAP")), "returns nan; expected a finite number"),
        (Custom(lambda *_: 71.2, Metric("mAP")), r"returns 71.2; expected a share in \[0, 1\]"),
    ],
)
def test_a_metric_that_fails_says_so(task: Custom, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task.measure((torch.zeros(1, 1), torch.zeros(1)))
    with pytest.raises(TaskError, match="expected a function"):
        Custom("mAP", Metric("mAP"))  # type: ignore[arg-type]


def test_custom_outputs_are_tensors_of_images() -> None:
    CUSTOM.check({"a": torch.zeros(2, 3), "b": [torch.zeros(2)]}, None, images=2)
    with pytest.raises(ModelError, match=r"torch.float32 of shape \(3, 1\) among its outputs"):
        CUSTOM.check((torch.zeros(2, 1), torch.zeros(3, 1)), None, images=2)
    with pytest.raises(ModelError, match="returns a str; expected tensors"):
        CUSTOM.check("none", None, images=2)
    student, teacher = (torch.ones(2, 2), torch.zeros(2)), (torch.full((2, 2), 2.0), torch.ones(2))
    assert CUSTOM.divergence(student, teacher) == pytest.approx(1 / 8 + 1 / 2)


@pytest.mark.parametrize("task", [Regression(), DenseRegression(), MultiLabel(labels=2), CUSTOM])
def test_without_labels_every_task_has_agreement(task: Task) -> None:
    bare = Unlabelled(task)
    shape = (3, 2, 2, 2) if isinstance(task, DenseRegression) else (3, 2)
    output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    outputs: Tensor | tuple[Tensor] = (output,) if task is CUSTOM else output
    bare.check(outputs, torch.zeros(3, 0), images=3)
    same = bare.decisions(outputs)
    assert bare.measure(bare.evidence(same, same)) == 1.0
    assert bare.metric == Metric("agreement")


def test_nests_keep_their_form() -> None:
    nest = {"a": torch.zeros(1, dtype=torch.float16), "b": [torch.zeros(1, dtype=torch.int64), 3]}
    changed = floats(nest)
    assert [x.dtype for x in leaves(changed)] == [torch.float32, torch.int64]
    assert isinstance(changed["b"], tuple)

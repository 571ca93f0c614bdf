"""One seed decides everything random, and what a run says of it is what was used."""

from dataclasses import replace

import pytest
from torch import nn
from typer.testing import CliRunner

from actpress.allocate import SearchSettings
from actpress.api import compress
from actpress.cli.app import app
from actpress.cli.asked import Asked
from actpress.cli.beginning import settings_of
from actpress.data.dataset import Dataset
from actpress.errors import TuningError
from actpress.methods import Settings
from actpress.run import facts_of
from actpress.tune import TuneSettings

SMALL = Settings(calibration_images=64, search_images=16, decoder_images=0)


def test_the_search_takes_the_seed_of_the_tuning() -> None:
    settings = Settings(tune=TuneSettings(seed=5))
    assert (settings.seed, settings.search.seed, settings.tune.seed) == (5, 5, 5)
    facts = facts_of(settings)
    assert (facts["search.seed"], facts["tune.seed"]) == (5, 5)
    same = Settings(search=SearchSettings(rounds=2, seed=5), tune=TuneSettings(seed=5))
    assert same.search == SearchSettings(rounds=2, seed=5)
    assert replace(settings, search=SearchSettings(rounds=2)).search.seed == 5


def test_two_seeds_are_refused() -> None:
    with pytest.raises(TuningError, match=r"search\.seed is 5, but tune\.seed is 0: a job has one"):
        Settings(search=SearchSettings(seed=5))
    with pytest.raises(TuningError, match=r"search\.seed is 0, but tune\.seed is 6"):
        replace(Settings(), tune=TuneSettings(seed=6))


def test_the_command_line_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Asked] = []

    def begun(own: Asked, _budgets: object) -> None:
        asked.append(own)
        raise TuningError("seen")

    monkeypatch.setattr("actpress.cli.loaded.begun", begun)
    options = ("--label-weight", "0.5", "--train", "decoder", "--seed", "7", "--block", "2")
    more = ("--calibration-images", "50", "--search-images", "20", "--transform", "pca")
    which = ("--model", "a:b", "--data", "c:d", "--budget", "4x", "--out", "run")
    result = CliRunner().invoke(app, ["compress", *which, *options, *more])
    assert len(asked) == 1, result.output
    settings = settings_of(asked[0])
    assert (settings.search.seed, settings.tune.seed) == (7, 7)
    assert settings.tune.task == 0.5
    assert (settings.calibration_images, settings.search_images) == (50, 20)
    assert settings.search.transforms == ("pca",)
    assert settings.block == 2


def test_other_seeds_search_otherwise(model: nn.Module, dataset: Dataset) -> None:
    """The greedy search draws labels; nothing is trained, so nothing else tells seeds apart."""

    def losses(settings: Settings) -> list[float]:
        metrics = compress(model, dataset, method="gdr", budget="3bits", settings=settings).metrics
        assert metrics.seed == metrics.settings["search.seed"] == settings.seed
        return [point.loss for point in metrics.search]

    known = replace(SMALL, search_images=128)
    five = replace(known, tune=TuneSettings(seed=5), search=SearchSettings())
    assert losses(five) != losses(known)
    assert losses(five) == losses(replace(five, search=SearchSettings(seed=5)))

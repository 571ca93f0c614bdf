"""The tables in the terminal: numbers, totals, and what happens on a narrow console."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from actpress.budget import View
from actpress.evaluation.metrics import Metrics
from actpress.graph import Arrangement
from actpress.report import SiteRow, print_evaluation, print_metrics, print_sites
from actpress.report.quantities import kib
from actpress.report.sites import heaviest_sites


def console(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None)


def printed(metrics: Metrics, width: int) -> list[str]:
    target = console(width)
    print_metrics(metrics, target)
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue().splitlines()


def printed_sites(rows: list[SiteRow], width: int) -> list[str]:
    target = console(width)
    print_sites(rows, target)
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue().splitlines()


def line_of(lines: list[str], first: str) -> list[str]:
    return next(words for words in map(str.split, lines) if words and words[0] == first)


@pytest.fixture
def rows(metrics: Metrics) -> list[SiteRow]:
    return [
        SiteRow(
            name=site.name,
            shape=site.shape,
            reads=site.reads,
            activation="relu",
            placement=site.placement,
            encoder_folds_into="layer1.0.conv1",
            decoder_folds_into=("layer2.0.conv1", "layer2.0.downsample.0"),
            values=site.values,
            traffic_bytes_8bit=site.traffic_bits_8bit / 8,
            share=site.traffic_share,
        )
        for site in metrics.sites
    ]


def test_channels_and_images_on_other_axes_are_told(rows: list[SiteRow]) -> None:
    assert not any("axis" in line for line in printed_sites(rows, 200))

    tokens = [replace(row, arrangement=Arrangement(channel_axis=2)) for row in rows]
    frames = replace(tokens[0], arrangement=Arrangement(rows=8))
    lines = printed_sites([frames, *tokens[1:]], 200)

    names, more = ", ".join(row.name for row in rows[1:4]), len(rows) - 4
    tail = f" and {more} more" if more > 0 else ""
    assert lines[-2].endswith(f"the network has them on another axis: {names}{tail}.")
    assert lines[-1] == f"Several rows of the batch axis belong to one image: {rows[0].name}."


def test_a_site_has_all_its_numbers_in_100_columns(metrics: Metrics) -> None:
    site = metrics.sites[2]
    assert line_of(printed(metrics, 100), site.name) == [
        site.name,
        "32x28x28",
        str(site.reads),
        "post",
        site.transform,
        f"{site.rank}/{site.channels}",
        f"{site.bits_per_value.fixed:.2f}",
        f"{site.bits_per_value.entropy:.2f}",
        f"{site.traffic_share * 100:.1f}",
        "%",
        kib(site.traffic_bits_8bit),
        kib(site.traffic_bits.fixed),
    ]


@pytest.mark.parametrize("view", View)
def test_traffic_after_is_in_the_view_of_the_budget(
    vary: Callable[..., Metrics], view: View
) -> None:
    metrics = vary(budget=f"8bits ({view})")
    lines = printed(metrics, 100)
    assert line_of(lines, "total")[-1] == kib(metrics.traffic.bits[view])
    named = {View.FIXED: "after by plain packing", View.ENTROPY: "after by entropy"}
    assert any(named[view] in line for line in lines)


def test_blocks_show_in_the_rank(metrics: Metrics, vary: Callable[..., Metrics]) -> None:
    first = metrics.sites[0].model_copy(update={"block": 2, "rank": 37})
    words = line_of(printed(vary(sites=(first, *metrics.sites[1:])), width=120), first.name)
    at = words.index(f"37/{4 * first.channels}")
    assert words[at + 1 : at + 3] == ["of", "2x2"]
    rest = len(metrics.sites) - 1
    lines = printed(vary(sites=(first, *metrics.sites[1:])), width=120)
    fact = f"2x2 pixels at 1, 1x1 pixels at {rest} of {rest + 1} sites"
    assert any(fact in line for line in lines)


def test_totals_before_and_after(metrics: Metrics) -> None:
    assert line_of(printed(metrics, 100), "total") == [
        "total",
        f"{metrics.bits_per_value.fixed:.2f}",
        f"{metrics.bits_per_value.entropy:.2f}",
        kib(metrics.traffic.bits_8bit),
        kib(metrics.traffic.bits.fixed),
    ]


def test_summary_tells_the_cost(metrics: Metrics) -> None:
    text = "\n".join(printed(metrics, 100))
    assert "92.44 % -> 91.96 % (-0.48 points)" in text
    assert "1 min 11 s, 48,211 node evaluations" in text
    assert "3 min 05 s" in text
    assert metrics.scope in text


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
def test_every_site_stays_on_one_line(metrics: Metrics, width: int) -> None:
    lines = printed(metrics, width)
    assert max(map(len, lines)) <= width
    for site in metrics.sites:
        words = line_of(lines, site.name)
        assert f"{site.rank}/{site.channels}" in words
        assert words[-1] == kib(site.traffic_bits.fixed)


def test_long_names_are_shortened_before_numbers(metrics: Metrics) -> None:
    site = metrics.sites[0].model_copy(update={"name": "features." * 20})
    lines = printed(metrics.model_copy(update={"sites": (site,)}), 80)
    words = next(line.split() for line in lines if line.startswith("features."))
    assert words[0].endswith("…")
    assert words[-1] == kib(site.traffic_bits.fixed)


def test_names_are_not_markup(hostile: Metrics) -> None:
    lines = printed(hostile, 140)
    assert any(line.startswith(hostile.sites[0].name) for line in lines)


def test_sites_keep_the_order_of_the_network(rows: list[SiteRow]) -> None:
    names = [row.name for row in rows]
    words = [word for line in printed_sites(rows, 160) for word in line.split()[:2]]
    assert [word for word in words if word in set(names)] == names


def test_sites_show_totals(rows: list[SiteRow]) -> None:
    total = next(line for line in printed_sites(rows, 160) if "21 sites" in line and "KiB" in line)
    traffic_bytes = sum(row.traffic_bytes_8bit for row in rows)
    assert f"{sum(row.values for row in rows):,}" in total
    assert f"{traffic_bytes / 1024:.1f} KiB" in total


def test_wide_console_names_the_folding_neighbours(rows: list[SiteRow]) -> None:
    assert "layer2.0.conv1, layer2.0.downsample.0" in printed_sites(rows, 160)[2]
    assert "enc+dec" in printed_sites(rows, 100)[2]


def test_nothing_to_fold_into_is_a_dash(rows: list[SiteRow]) -> None:
    plain = replace(rows[0], encoder_folds_into=None, decoder_folds_into=(), activation=None)
    line = printed_sites([plain], 160)[2]
    assert line.split()[4:8] == ["-", "post_act", "-", "-"]


@pytest.mark.parametrize("width", [50, 80, 100, 160])
def test_site_table_fits(rows: list[SiteRow], width: int) -> None:
    assert max(map(len, printed_sites(rows, width))) <= width


def test_heaviest_sites_are_the_fewest_that_make_half(rows: list[SiteRow]) -> None:
    chosen = [row for row in rows if row.name in heaviest_sites(rows)]
    total = sum(row.traffic_bytes_8bit for row in rows)
    weights = [row.traffic_bytes_8bit for row in chosen]
    assert sum(weights) >= total / 2 > sum(weights) - min(weights)
    assert min(weights) >= max(row.traffic_bytes_8bit for row in rows if row not in chosen)


def test_heaviest_sites_are_marked(rows: list[SiteRow]) -> None:
    lines = printed_sites(rows, 100)
    marked = {line.split()[1] for line in lines[:-2] if line.startswith("*")}
    assert marked == heaviest_sites(rows)
    assert lines[-1] == f"* {len(marked)} of 21 sites make up at least half of it."


def test_no_sites_no_mark() -> None:
    assert heaviest_sites([]) == frozenset()
    assert "0 sites" in "\n".join(printed_sites([], 80))


def test_a_second_evaluation_prints_only_what_is_new(metrics: Metrics) -> None:
    now = metrics.model_copy(update={"accuracy": 0.9, "images": 500, "data": "others"})
    target = console(140)
    print_evaluation(now, metrics, target)
    text = target.file.getvalue()  # type: ignore[attr-defined]
    assert "tested on   500 images of others" in text
    bits = metrics.bits_per_value
    assert f"{bits.fixed:.3f} fixed, {bits.entropy:.3f} entropy, as in the run" in text
    before = f"{100 * metrics.float_accuracy:.2f} %"
    assert f"accuracy    {before} -> 90.00 %" in text
    assert f"; in the run {before} -> {100 * metrics.accuracy:.2f} %" in " ".join(text.split())
    assert not any(site.name in text for site in metrics.sites)
    assert "energy" not in text
    spent = metrics.energy.model_copy(update={"memory": "hbm2"})
    print_evaluation(now.model_copy(update={"energy": spent}), metrics, target)
    assert "hbm2 at" in target.file.getvalue()  # type: ignore[attr-defined]

"""Charts: every site is drawn, colours follow the page, odd spectra do no harm."""

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from actpress.budget import View
from actpress.evaluation.metrics import Metrics, SiteMetrics
from actpress.report.charts import NARROW_PX, WIDE_PX, path_chart, traffic_chart
from actpress.report.spectra import spectra, variance_shares

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 our own output


def texts(svg: str) -> list[str]:
    return ["".join(found.itertext()) for found in parsed(svg).iter(f"{SVG}text")]


def with_eigenvalues(site: SiteMetrics, values: tuple[float, ...]) -> SiteMetrics:
    return site.model_copy(update={"eigenvalues": values})


@pytest.mark.parametrize("width_px", [WIDE_PX, NARROW_PX])
@pytest.mark.parametrize("view", View)
def test_traffic_names_every_site_and_its_factor(
    vary: Callable[..., Metrics], width_px: int, view: View
) -> None:
    metrics = vary(budget=f"2bits ({view})")
    shown = texts(traffic_chart(metrics, width_px=width_px))
    for site in metrics.sites:
        assert site.name in shown
        assert f"{site.traffic_bits_8bit / site.traffic_bits[view]:.2f}x" in shown


def test_names_are_drawn_as_they_are(hostile: Metrics) -> None:
    assert "<script>alert('$...red]')</script>" in texts(traffic_chart(hostile))


@pytest.mark.parametrize("name", ["\u5c42.1", "$a$ & b_{1}", r"\\frac"])
def test_names_are_neither_glyphs_nor_formulas_to_matplotlib(metrics: Metrics, name: str) -> None:
    site = metrics.sites[0].model_copy(update={"name": name})
    assert name in texts(traffic_chart(metrics.model_copy(update={"sites": (site,)})))


def test_a_site_without_bits_has_no_factor(metrics: Metrics) -> None:
    nothing = metrics.sites[0].traffic_bits.model_copy(update={"fixed": 0.0, "entropy": 0.0})
    site = metrics.sites[0].model_copy(update={"traffic_bits": nothing})
    shown = texts(traffic_chart(metrics.model_copy(update={"sites": (site,)})))
    assert not any(text.endswith("x") for text in shown)


def test_colours_come_from_the_page(metrics: Metrics) -> None:
    svg = traffic_chart(metrics) + path_chart(metrics) + spectra(metrics)[0].svg
    assert "currentColor" in svg
    assert "var(--after" in svg
    assert set(re.findall(r"(?<=[: \"])#[0-9a-f]{6}\b", svg)) <= {"#858e99", "#1668b8"}


def test_path_is_empty_without_moves(vary: Callable[..., Metrics]) -> None:
    assert path_chart(vary(search=())) == ""


def test_path_of_one_move_is_drawn(metrics: Metrics) -> None:
    drawn = texts(path_chart(metrics.model_copy(update={"search": metrics.search[:1]})))
    assert "estimated loss, nats per image" in drawn


def test_labels_are_plain_text(metrics: Metrics) -> None:
    svgs = [traffic_chart(metrics), path_chart(metrics), *(own.svg for own in spectra(metrics))]
    shown = [text for svg in svgs for text in texts(svg)]
    assert any(re.fullmatch(r"[125]e-\d", text) for text in texts(path_chart(metrics)))
    assert not any("$" in text or "\\" in text for text in shown)  # formulas are not typeset


def test_path_tells_where_it_ends(metrics: Metrics) -> None:
    label = parsed(path_chart(metrics)).get("aria-label")
    assert label is not None
    assert f"to {metrics.search[-1].bits_per_value:.2f} bits per value" in label


def test_a_spectrum_for_each_site_with_the_variance_kept(metrics: Metrics) -> None:
    found = spectra(metrics)
    assert [spectrum.site.name for spectrum in found] == [site.name for site in metrics.sites]
    site = metrics.sites[0]
    kept = sum(site.eigenvalues[: site.rank]) / sum(site.eigenvalues)
    assert found[0].kept_share == pytest.approx(kept)


def test_all_spectra_share_one_scale(metrics: Metrics) -> None:
    assert {tuple(texts(found.svg)[-3:]) for found in spectra(metrics)} == {("1e-6", "1e-3", "1")}


@pytest.mark.parametrize("values", [(), (0.0, 0.0), (math.nan, 0.0)])
def test_no_variance_no_spectrum(metrics: Metrics, values: tuple[float, ...]) -> None:
    assert variance_shares(with_eigenvalues(metrics.sites[0], values)) == ()


def test_rounding_below_zero_counts_as_zero(metrics: Metrics) -> None:
    shares = variance_shares(with_eigenvalues(metrics.sites[0], (3.0, 1.0, -1e-9)))
    assert shares == (0.75, 0.25, 0.0)


def test_one_channel_is_drawn(metrics: Metrics) -> None:
    site = with_eigenvalues(metrics.sites[0], (2.0,)).model_copy(update={"channels": 1, "rank": 1})
    (found,) = spectra(metrics.model_copy(update={"sites": (site,)}))
    assert found.kept_share == 1.0
    assert "rank 1 of 1 keeps 100.0 %" in found.svg

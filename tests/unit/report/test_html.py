"""The HTML report: complete, self-contained, escaped and repeatable."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from actpress.evaluation.metrics import Metrics
from actpress.report import headline, render_html
from actpress.report.environment import environment
from actpress.report.quantities import kib, percent

LOADING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}
VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}
XML_NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, headings, and the cells of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        self.text.append((inside, data))
        if inside in {"td", "th"}:
            self.rows[-1][-1] += data

    def inside(self, tag: str) -> list[str]:
        return [text for where, text in self.text if where == tag]

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(metrics: Metrics) -> str:
    return render_html(metrics)


@pytest.fixture(scope="module")
def hostile_html(hostile: Metrics) -> str:
    return render_html(hostile)


def test_opens_with_the_headline(html: str, metrics: Metrics) -> None:
    sentence = Page(html).inside("h1")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert sentence == headline(metrics)


def test_sections_come_in_order(html: str) -> None:
    assert Page(html).inside("h2") == [
        "Where the saving goes",
        "Where the traffic goes",
        "Spectra and chosen ranks",
        "Path of the search",
        "Every site",
        "Bit-widths",
        "Accounting",
        "Settings",
    ]


def test_every_opened_tag_is_closed(html: str, hostile_html: str) -> None:
    assert Page(html).open == []
    assert Page(hostile_html).open == []


@pytest.mark.parametrize("which", ["html", "hostile_html"])
def test_loads_nothing(which: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(which)
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "object", "base"} & {tag for tag, _ in page.tags}
    loaded = [v for _, attrs in page.tags for k, v in attrs.items() if k in LOADING]
    assert all(value is not None and value.startswith("#") for value in loaded)
    assert "@import" not in text
    assert all(reference.startswith("#") for reference in re.findall(r"url\(([^)]*)\)", text))
    assert set(re.findall(r"https?://[^\"'<\s]+", text)) <= XML_NAMESPACES


def test_names_and_settings_are_escaped(hostile_html: str, hostile: Metrics) -> None:
    page = Page(hostile_html)
    assert page.named("script") == page.named("img") == page.named("b") == []
    assert hostile.sites[0].name in page.inside("th")
    assert "<img src=x onerror=alert(1)>" in page.inside("dd")


def test_labels_of_charts_are_escaped(metrics: Metrics) -> None:
    name = '"><script>alert(1)</script>'
    site = metrics.sites[0].model_copy(update={"name": name})
    page = Page(render_html(metrics.model_copy(update={"sites": (site,)})))
    assert page.named("script") == []
    assert any(name in (svg["aria-label"] or "") for svg in page.named("svg"))


def test_equal_metrics_give_equal_text(html: str, metrics: Metrics) -> None:
    assert render_html(metrics.model_copy(deep=True)) == html


def test_table_shows_the_numbers_of_each_site(html: str, metrics: Metrics) -> None:
    rows = {row[0]: row for row in Page(html).rows if len(row) > 2}
    widths = {row[0]: row for row in Page(html).rows if len(row) == 2}
    for site in metrics.sites:
        words = f"{site.rank} at 5 bits; {site.channels - site.rank} not stored"
        assert widths[site.name][1:] == [words]
        assert rows[site.name][1:] == [
            "x".join(map(str, site.shape)),
            str(site.reads),
            site.placement,
            site.transform,
            f"{site.rank}/{site.channels}",
            f"{site.bits_per_value.fixed:.2f}",
            f"{site.bits_per_value.entropy:.2f}",
            kib(site.traffic_bits_8bit),
            percent(site.traffic_share, 1),
            kib(site.traffic_bits.fixed),
            kib(site.traffic_bits.entropy),
            kib(site.folded_parameter_bits),
        ]


def test_account_shows_both_net_ratios(html: str, metrics: Metrics) -> None:
    rows = {row[0]: row[1:] for row in Page(html).rows if row}
    traffic = metrics.traffic
    folded, unfolded = traffic.net_ratio_8bit, traffic.net_ratio_8bit_unfolded
    assert rows["Net at batch 1"] == ["", f"{folded.fixed:.2f}x", f"{folded.entropy:.2f}x"]
    assert rows["Net at batch 1, nothing folded"][2] == f"{unfolded.entropy:.2f}x"


def test_scope_and_settings_are_shown(html: str, metrics: Metrics) -> None:
    facts = Page(html).inside("dd")
    assert any(metrics.scope in text for text in Page(html).inside("p"))
    assert {metrics.budget, "0.001", "3", "False"} <= set(facts)


def test_tables_and_charts_speak_to_screen_readers(html: str) -> None:
    page = Page(html)
    assert all("scope" in header for header in page.named("th"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.named("svg"))
    assert len(page.named("figure")) == len(page.named("figcaption"))


def test_identifiers_are_unique(html: str) -> None:
    found = [attrs["id"] for _, attrs in Page(html).tags if "id" in attrs]
    assert len(found) == len(set(found))


def test_fits_phones_and_dark_rooms(html: str) -> None:
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in Page(
        html
    ).named("meta")
    assert "prefers-color-scheme: dark" in html


def test_empty_sections_are_left_out(hostile_html: str) -> None:
    sections = Page(hostile_html).inside("h2")
    assert "Every site" in sections
    assert not {"Path of the search", "Spectra and chosen ranks"} & set(sections)


def test_names_break_at_their_joints_only() -> None:
    breakable = environment().filters["breakable"]
    assert breakable("zoo:resnet18_fashion.layer2.0.down.1 at 92.10 <b>") == (
        "zoo:<wbr>resnet18_<wbr>fashion.<wbr>layer2.0.<wbr>down.1 at 92.10 &lt;b&gt;"
    )


def test_wide_tables_say_that_they_scroll(html: str) -> None:
    page = Page(html)
    assert any("scroll it sideways" in text for text in page.inside("p"))
    assert "overflow-wrap: anywhere" not in html


def test_a_network_without_sites_is_rendered(vary: Callable[..., Metrics]) -> None:
    page = Page(render_html(vary(sites=(), search=())))
    assert not {"Where the traffic goes", "Every site", "Bit-widths"} & set(page.inside("h2"))
    assert page.named("svg") == []

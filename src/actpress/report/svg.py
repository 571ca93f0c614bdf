"""From a matplotlib figure to SVG text that belongs in a page: its colours, its font, one label.

Figures are drawn with the colours below and leave with CSS in their place, so that a chart follows
the page from light to dark. Equal input gives equal text.
"""

import io
import re
import warnings
from collections.abc import Callable

import matplotlib.style
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"
QUIET = "#010204"
RULE = "#010205"
BEFORE = "#010206"
AFTER = "#010207"
CURVES = tuple(f"#01021{index}" for index in range(8))
"""Colours of several curves in one chart; a page may define `--curve-0` to `--curve-7`."""

_CURVE_COLOURS = (
    "#1668b8",
    "#b4530a",
    "#23805a",
    "#8b4bb3",
    "#a8264f",
    "#5c6770",
    "#8a7400",
    "#00798c",
)

_CSS = {
    INK: "currentColor",
    QUIET: "var(--quiet, currentColor)",
    RULE: "var(--rule, #8886)",
    BEFORE: "var(--before, #858e99)",
    AFTER: "var(--after, #1668b8)",
    **{
        token: f"var(--curve-{index}, {colour})"
        for index, (token, colour) in enumerate(zip(CURVES, _CURVE_COLOURS, strict=True))
    },
}
_STYLE = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.linewidth": 1.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "font.size": 12.0,
    "grid.color": RULE,
    "grid.linewidth": 1.0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": RULE,
    "xtick.labelcolor": QUIET,
    "ytick.color": RULE,
    "ytick.labelcolor": QUIET,
}
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_FONT = re.compile(r"font: (?:(?:normal|bold|[0-9]{3}) )?([0-9.]+)px [^;\"]*")
_DROPPED = re.compile(
    r"<style.*?</style>|<metadata>.*?</metadata>|(?<=<g) id=\"[^\"]*\"", re.DOTALL
)
_ROOT = re.compile(r"^.*?<svg[^>]*viewBox=\"([^\"]+)\"[^>]*>", re.DOTALL)


def render(
    draw: Callable[[Axes], None], *, width_px: int, height_px: int, label: str, salt: str
) -> str:
    """Draw a figure of one plot and return it as an `<svg>` element.

    Args:
        draw: fills the plot; one unit of font size is one pixel of the SVG.
        width_px: natural width; the page may scale it.
        height_px: natural height.
        label: what the picture says, for those who cannot see it. Escaped here.
        salt: of the identifiers inside, different for each chart of a page.
    """
    rc = {**_STYLE, "svg.hashsalt": salt}
    with matplotlib.style.context(["default", rc]), warnings.catch_warnings():
        # The browser's font draws the text; matplotlib's own only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width_px / 72, height_px / 72), dpi=72)
        draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return _for_page(buffer.getvalue(), label)


def place(axes: Axes, *, left: float, right: float, top: float, bottom: float) -> None:
    """Set the margins of the plot inside its figure, in pixels."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = (float(inches) * 72 for inches in figure.get_size_inches())
    inner = (1 - (left + right) / width, 1 - (top + bottom) / height)
    axes.set_position((left / width, bottom / height, *inner))


def _for_page(svg: str, label: str) -> str:
    opening = f'<svg {_NAMESPACES} role="img" aria-label="{escape(label)}" viewBox='
    svg = _ROOT.sub(lambda match: f'{opening}"{match[1]}">', svg, count=1)
    svg = _FONT.sub(r"font-size: \1px", _DROPPED.sub("", svg))
    for colour, css in _CSS.items():
        svg = svg.replace(colour, css)
    return svg.strip()

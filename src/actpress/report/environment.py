"""The template engine of the HTML pages, with the filters that print quantities."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from actpress.evaluation.confidence import Comparison
from actpress.report import quantities
from actpress.report.quality import change, upper_first, value
from actpress.report.wording import rank, widths

_JOINT = re.compile(r"(?<=\w)([._:])(?=[^\W\d])")
_FILTERS = ("kib", "ratio", "percent", "points", "count", "energy", "duration", "dimensions")


def environment() -> Environment:
    """Every name and setting is escaped, so that a module called `<script>` stays a name."""
    made = Environment(
        loader=PackageLoader("actpress.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {name: getattr(quantities, name) for name in _FILTERS}
    made.filters |= {"unbroken": _unbroken, "breakable": _breakable, "rank": rank, "widths": widths}
    made.filters |= {"upper_first": upper_first, "value": _value, "lost": _lost}
    return made


def _unbroken(text: str) -> str:
    """Keep units on the line of their number."""
    for unit in ("%", "points", "dB"):
        text = text.replace(f" {unit}", f"\N{NO-BREAK SPACE}{unit}")
    return text


def _value(compared: Comparison) -> str:
    """The metric of the compressed network."""
    return value(compared.metric, compared.after)


def _lost(compared: Comparison) -> str:
    """What it lost."""
    return change(compared.metric, compared.drop_pp)


def _breakable(text: str) -> Markup:
    """Names may break after dots, colons and underscores before a letter, and nowhere else."""
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped just before

"""Where the activations of a network go: the table that `actpress inspect` prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from actpress.graph import PLAIN, Arrangement, Site, default_placement
from actpress.report.columns import Column, Layout, print_fitting
from actpress.report.quantities import count, dimensions, memory, percent

_MARK = "*"

NAMED = 3
"""Sites that are named of those that a remark is about."""


@dataclass(frozen=True)
class SiteRow:
    """One site as `inspect` shows it, per inference (one image).

    Attributes:
        name, shape, reads, placement: of the site, in the order of the network.
        activation: the nonlinearity that writes it; None where a value is stored without one.
        encoder_folds_into, decoder_folds_into: linear neighbours that can absorb a projection.
        values: c*h*w.
        traffic_bytes_8bit: (1 + reads) * values.
        share: of the traffic of all sites, in [0, 1].
        arrangement: where the network has its images and channels.
    """

    name: str
    shape: tuple[int, ...]
    reads: int
    activation: str | None
    placement: str
    encoder_folds_into: str | None
    decoder_folds_into: tuple[str, ...]
    values: int
    traffic_bytes_8bit: float
    share: float
    arrangement: Arrangement = PLAIN


def site_rows(sites: Sequence[Site]) -> list[SiteRow]:
    """Rows of a captured network, with the placement that methods take by default."""
    total = sum((1 + site.reads) * site.values for site in sites)
    rows = []
    for site in sites:
        placement = default_placement(site)
        moved = (1 + site.reads) * site.values
        rows.append(
            SiteRow(
                name=site.name,
                shape=site.shape,
                reads=site.reads,
                activation=site.activation,
                placement=placement,
                encoder_folds_into=site.encoder_folds_into(placement),
                decoder_folds_into=site.decoder_folds_into(placement),
                values=site.values,
                traffic_bytes_8bit=moved,
                share=moved / total,
                arrangement=site.arrangement,
            )
        )
    return rows


def print_sites(rows: Sequence[SiteRow], console: Console) -> None:
    """Print the sites in the order given, with totals; the heaviest are marked."""
    heaviest = heaviest_sites(rows)
    print_fitting(
        console, _layouts(rows, heaviest), rows, is_marked=lambda row: row.name in heaviest
    )
    console.print(Text(_legend(len(rows), len(heaviest)) + _moved(rows), style="dim"))


def heaviest_sites(rows: Sequence[SiteRow]) -> frozenset[str]:
    """The fewest sites that together make up at least half of the traffic."""
    ranked = sorted(rows, key=lambda row: row.traffic_bytes_8bit, reverse=True)
    half = sum(row.traffic_bytes_8bit for row in rows) / 2
    names: set[str] = set()
    for row in ranked:
        if half <= 0:
            break
        names.add(row.name)
        half -= row.traffic_bytes_8bit
    return frozenset(names)


def _layouts(rows: Sequence[SiteRow], heaviest: frozenset[str]) -> list[Layout[SiteRow]]:
    total = f"{len(rows)} site{'' if len(rows) == 1 else 's'}"
    mark = Column[SiteRow]("", lambda row: _MARK if row.name in heaviest else "", text=True)
    name = Column[SiteRow]("site", lambda row: row.name, total, text=True)
    shape = Column[SiteRow]("shape", lambda row: dimensions(row.shape))
    reads = Column[SiteRow]("reads", lambda row: str(row.reads))
    activation = Column[SiteRow]("activation", lambda row: row.activation or "-", text=True)
    placement = Column[SiteRow]("stored", lambda row: row.placement, text=True)
    folds = Column[SiteRow]("folds", _folds, text=True)
    encoder = Column[SiteRow]("encoder into", lambda row: row.encoder_folds_into or "-", text=True)
    decoder = Column[SiteRow]("decoder into", _decoder, text=True)
    numbers = _number_columns(rows)
    return [
        [mark, name, shape, reads, activation, placement, encoder, decoder, *numbers],
        [mark, name, shape, reads, activation, placement, folds, *numbers],
        [mark, name, shape, reads, placement, folds, *numbers],
        [mark, name, shape, reads, folds, *numbers],
        [mark, name, shape, reads, *numbers],
        [mark, name, *numbers],
    ]


def _number_columns(rows: Sequence[SiteRow]) -> list[Column[SiteRow]]:
    values = sum(row.values for row in rows)
    traffic = sum(row.traffic_bytes_8bit for row in rows)
    return [
        Column("values", lambda row: count(row.values), count(values)),
        Column("at 8 bit", lambda row: memory(row.traffic_bytes_8bit), memory(traffic)),
        Column("share", lambda row: percent(row.share, 1)),
    ]


def _folds(row: SiteRow) -> str:
    """Which of the two projections can be absorbed, in few letters."""
    parts = ("enc" if row.encoder_folds_into else "", "dec" if row.decoder_folds_into else "")
    return "+".join(part for part in parts if part) or "-"


def _decoder(row: SiteRow) -> str:
    return ", ".join(row.decoder_folds_into) or "-"


def _moved(rows: Sequence[SiteRow]) -> str:
    """Which sites have channels or images elsewhere than shapes say; nothing if none has."""
    last = [row.name for row in rows if row.arrangement.channel_axis != 1]
    folded = [row.name for row in rows if row.arrangement.rows > 1]
    text = ""
    if last:
        text += (
            f"\nShapes give channels first; the network has them on another axis: {_named(last)}."
        )
    if folded:
        text += f"\nSeveral rows of the batch axis belong to one image: {_named(folded)}."
    return text


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _legend(sites: int, marked: int) -> str:
    text = (
        "Traffic per inference at 8 bit: one write and one read per consumer; operations that are "
        "fused are one consumer. Stored: before or after the activation. Folds: encoder or decoder "
        "of a projection that a linear neighbour can absorb."
    )
    if marked == 0 or sites == 1:
        return text
    verb = "makes" if marked == 1 else "make"
    return f"{text}\n{_MARK} {marked} of {sites} sites {verb} up at least half of it."

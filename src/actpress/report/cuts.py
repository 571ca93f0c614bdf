"""Where a network can be split: what `actpress split --list` prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from actpress.cuts import Cut
from actpress.data.sizes import JPEG_QUALITY, FileSizes
from actpress.report.columns import Column, print_fitting
from actpress.report.quantities import count

_Column = Column[Cut]
_LEGEND = (
    "Bytes: of one image as a stream, headers included. A network can be cut where all that the "
    "tail reads has a codec; skip connections over the cut are sent too."
)


def print_cuts(cuts: Sequence[Cut], sizes: FileSizes, console: Console) -> None:
    """Print the cuts in the order of the network, with the input's size; smaller ones are bold."""
    smallest = min(filter(None, (sizes.raw, sizes.png, sizes.jpeg)))
    name = _Column("cut after", lambda cut: cut.at, text=True)
    sites = _Column("sites sent", lambda cut: str(len(cut.sites)))
    size = _Column("bytes\nan image", lambda cut: f"{cut.sent_bytes:,}")
    share = _Column("of 8 bit\ninput", lambda cut: f"{100 * cut.sent_bytes / sizes.raw:.1f} %")
    macs = _Column("head\nMACs", lambda cut: count(cut.head_macs))
    layouts = [[name, sites, size, share, macs], [name, size, share, macs], [name, size, macs]]
    print_fitting(console, layouts, cuts, is_marked=lambda cut: cut.sent_bytes < smallest)
    console.print(Text(f"{_LEGEND} The input itself: {_input(sizes)}.", style="dim"))


def sent(cut: Cut, sizes: FileSizes) -> str:
    """What a cut sends beside the input, in one sentence."""
    return (
        f"the head sends {', '.join(cut.sites)}: about {cut.sent_bytes:,} bytes an image, the "
        f"input takes {_input(sizes)}"
    )


def _input(sizes: FileSizes) -> str:
    text = f"{sizes.raw:,} bytes at 8 bit"
    if sizes.png is None or sizes.jpeg is None:
        return text
    return (
        f"{text}, {sizes.png:,.0f} as PNG, {sizes.jpeg:,.0f} as JPEG of quality {JPEG_QUALITY} "
        f"(mean of {sizes.images} images)"
    )

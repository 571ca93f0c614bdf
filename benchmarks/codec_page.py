"""`docs/results-codec.md`, written from `benchmarks/results/codec.json` and `mutations.json`."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.codec_sites import DECIBELS, SPEED_IMAGES
from benchmarks.mutations import RESULTS as MUTATIONS
from benchmarks.page import TARGETS, TITLES, target_line
from benchmarks.store import Row

PAGE = Path("docs/results-codec.md")
INTRO = """# Real bytes

Written by `make bench-codec` from `benchmarks/results/codec.json` and
`benchmarks/results/mutations.json`; do not edit by hand.
"""
CODER = f"""
## The entropy coder

Transform coding at {DECIBELS:g} dB, Fashion-MNIST test images.

- *1*, *64*: at these batch sizes, length of the whole stream, headers, checksums and states
  included, over the entropy view (targets: within 5 % and within 1 %).
- *encode*, *decode*: one thread, the symbols of all sites of {SPEED_IMAGES} images, without
  contexts; *encode x*, *decode x* and *size* compare with constriction, one static model per
  component, in the same process (targets: at least 1.5, at least 5, within 1 %).
- *in context*: speed of encoding and decoding with the codecs' own tables, where a symbol's
  neighbours choose the table, and the size of that against constriction's.
- *evaluate*: time with every site going through bytes over the time without, on one thread and on
  two (target: at most 2).

| network | 1 | 64 | encode | decode | encode x | decode x | size | in context | size | evaluate |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""
SIZES = f"""
## Size against other coders

Bits per symbol of the same symbols, {SPEED_IMAGES} images, every site coded by itself (target: ours
smaller than each). Ours are whole records. zstd and blosc2 (bit shuffle, then zstd) run at level 9
on the shortest of 1 or 2 bytes per symbol; the hardware coders get words as short as a site's range
allows; *packed* is plain packing, each component in bits of its own.

| network | ours | zstd | blosc2 | EBPC | zero runs | zero values | packed | smallest other |
|---|--:|--:|--:|--:|--:|--:|--:|--:|"""
PACKING = """
## Bit packing

64 MiB of float32, outputs preallocated. GB/s of the float side on one thread, by its processor
time, and against `copy_` of the same tensor, medians of ratios side by side (target: at least
1.0x); *2 threads* against one by the clock on the wall (target: at least 1.6x where two cores are
free; the load average of the machine was {load:.1f} here). `copy_` itself shows what a second
thread can gain where memory is the limit.

| bits | copy | pack | unpack | pack / copy | unpack / copy | copy, 2 threads | pack, 2 threads |\
 unpack, 2 threads |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""
OTHERS = ("zstd", "blosc2", "ebpc", "zero_run_length", "zero_value", "packed")


def write_page(rows: Sequence[Row]) -> None:
    """Write the page anew."""
    lines = [INTRO, *_target_lines(rows), CODER, *map(_coder_line, _of(rows, "rans"))]
    if _of(rows, "sizes"):
        lines += [SIZES, *map(_size_line, _of(rows, "sizes"))]
    for row in _of(rows, "packing"):
        lines += [PACKING.format(load=row["load_average"]), *_packing_lines(row)]
    PAGE.write_text("\n".join(lines) + "\n")


def _target_lines(rows: Sequence[Row]) -> Iterator[str]:
    yield TARGETS
    for row in _of(rows, "rans"):
        yield from _coder_targets(TITLES[row["model"]], row)
    for row in _of(rows, "sizes"):
        bits = row["bits_per_symbol"]
        share = min(bits[label] for label in OTHERS) / bits["ours"]
        what = f"{TITLES[row['model']]}: size against zstd, blosc2, EBPC and the others"
        yield target_line(what, "smaller than each", f"{share:.2f}x smaller", met=share > 1)
    for row in _of(rows, "packing"):
        yield from _packing_targets(row["widths"].values())
    if MUTATIONS.exists():
        yield _hostile_target(json.loads(MUTATIONS.read_text()))


def _coder_targets(title: str, row: Row) -> Iterator[str]:
    one, many = (100 * row[batch]["excess"] for batch in ("batch1", "batch64"))
    yield target_line(
        f"{title}: stream over entropy view, batch 1 and 64",
        "within 5 % and 1 %",
        f"{one:+.2f} %, {many:+.2f} %",
        met=one <= 5 and many <= 1,
    )
    encode, decode = row["encode_against_constriction"], row["decode_against_constriction"]
    yield target_line(
        f"{title}: encode and decode against constriction",
        "at least 1.5x and 5x",
        f"{encode:.2f}x, {decode:.2f}x",
        met=encode >= 1.5 and decode >= 5,
    )
    size = row["size_against_constriction"]
    what = f"{title}: size against constriction, without contexts"
    yield target_line(what, "within 1 %", f"{100 * (size - 1):+.2f} %", met=size <= 1.01)
    alone, both = row["evaluate_slowdown"].values()
    what = f"{title}: evaluation with real bytes against without, one thread and two"
    yield target_line(what, "at most 2x", f"{alone:.2f}x, {both:.2f}x", met=max(alone, both) <= 2)


def _packing_targets(widths: Iterable[Row]) -> Iterator[str]:
    widths = list(widths)
    for part in ("pack", "unpack"):
        alone = min(figures[f"{part}_against_copy"] for figures in widths)
        what = f"{part}ing, every width, one thread, against `copy_`"
        yield target_line(what, "at least 1.0x", f"{alone:.2f}x at least", met=alone >= 1)
        both = [figures[f"{part}_two_threads"] for figures in widths]
        measured = f"{min(both):.2f}x to {max(both):.2f}x"
        what = f"{part}ing, two threads against one"
        yield target_line(what, "at least 1.6x", measured, met=min(both) >= 1.6)


HANG_S, MOST_BYTES = 5.0, 1 << 27
"""A decoding of a small damaged stream that takes longer hangs, one that takes more is bombed."""


def _hostile_target(found: Row) -> str:
    measured = (
        f"{found['mutations']:,} decoded: each refused with a `StreamError`, or a forgery with "
        f"mended checksums ({found['forgeries_decoded']:,}); slowest {found['slowest_s']:.2f} s, "
        f"at most {found['peak_bytes'] / 1e6:.1f} MB"
    )
    met = found["slowest_s"] < HANG_S and found["peak_bytes"] < MOST_BYTES
    return target_line("hostile streams", "the right error, nothing worse", measured, met=met)


def _of(rows: Sequence[Row], method: str) -> list[Row]:
    return [row for row in rows if row["method"] == method]


def _coder_line(row: Row) -> str:
    return (
        f"| {row['model']} | {100 * row['batch1']['excess']:+.2f} % | "
        f"{100 * row['batch64']['excess']:+.2f} % | {row['encode_msymbols_per_s']:.0f} Msymbol/s | "
        f"{row['decode_msymbols_per_s']:.0f} Msymbol/s | "
        f"{row['encode_against_constriction']:.2f}x | {row['decode_against_constriction']:.2f}x | "
        f"{row['size_against_constriction']:.4f} | "
        f"{row['context_encode_msymbols_per_s']:.0f} / {row['context_decode_msymbols_per_s']:.0f} "
        f"Msymbol/s | {row['context_size_against_constriction']:.4f} | "
        f"{row['evaluate_slowdown']['1']:.2f}x / {row['evaluate_slowdown']['2']:.2f}x |"
    )


def _size_line(row: Row) -> str:
    bits = row["bits_per_symbol"]
    others = [bits[label] for label in OTHERS]
    cells = " | ".join(f"{size:.3f}" for size in (bits["ours"], *others))
    return f"| {row['model']} | {cells} | {min(others) / bits['ours']:.2f}x |"


def _packing_lines(row: Row) -> Iterator[str]:
    for width, figures in row["widths"].items():
        yield (
            f"| {width} | {figures['copy_gb_per_s']:.1f} | {figures['pack_gb_per_s']:.1f} | "
            f"{figures['unpack_gb_per_s']:.1f} | {figures['pack_against_copy']:.2f}x | "
            f"{figures['unpack_against_copy']:.2f}x | {figures['copy_two_threads']:.2f}x | "
            f"{figures['pack_two_threads']:.2f}x | {figures['unpack_two_threads']:.2f}x |"
        )

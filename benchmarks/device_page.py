"""The JSON file and the page of `make bench-device`, with its targets judged."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.page import (
    TARGETS,
    Target,
    commits_line,
    table,
    target_line,
    target_of,
    write_results,
)
from benchmarks.store import Row

PAGE = Path("docs/results-device.md")
KIB = 1024
DROP_PP = 0.5
RAM = {
    ("resnet8_cifar10", False): (16, "ResNet8, whole RAM without cascades"),
    ("resnet8_cifar10", True): (12, "ResNet8, whole RAM with cascades"),
    ("resnet18_fashion_mnist", True): (28, "ResNet18 (32 channels, 32x32), whole RAM"),
}
"""KiB at most, by network and cascades."""

INTRODUCTION = (
    "What `make bench-device` measures: exported C on the emulated boards mps2-an386 (Cortex-M4) "
    "and mps2-an500 (Cortex-M7), compiled by gcc-arm-none-eabi with the flags of the exported "
    "Makefile. Whole RAM is the static memory of the network (its arena) and the deepest stack, "
    "painted. Instructions are counted by the emulator, of one inference. Drops are against the "
    "network's own int8 plan, in integers, too; forms called c-int8 store a byte for every symbol "
    "of the same plan. Bytes of maps are what the emulator saw loaded from and stored to maps in "
    "the arena, line buffers not counted. Flash of codecs is code and tables that pack, unpack and "
    "turn codes into line values. Maps of the form c-rans are rows of rANS in slots of a fixed "
    "size (docs/export.md). Accuracies are those of the first test images, as many as a row says: "
    "C of ResNet18 and MobileNetV2 takes long on a PC. Rows are in "
    "`benchmarks/results/device.json`.\n"
)
TRIED = (
    "## What was tried\n\n"
    "- *Training after a budget of RAM* follows the float network and the labels, and does not "
    "know of int8 weights: what it wins in floating point is partly lost in integers.\n"
    "- *Rows that are computed in place* lie over the line of an addend or in the next stage's "
    "line buffer, which leaves the search more of a budget.\n"
)
MISSING = (
    "## Not measured\n\n"
    "Rows that a stopped run did not reach are missing above, and so are the targets that need "
    "them; `make bench-device` goes on with them.\n"
)
PEERS = (
    "## Peers\n\n"
    "What `make bench-peers` measures, from `benchmarks/results/peers.json`. Vela and TFLM compile "
    "the int8 file of MLPerf Tiny's ResNet8; whole int8 tensors of it take 48.0 KiB. "
    "aidge-export-cpp takes a small network of four 3x3 convolutions, 3 to 16, 16, 32 and 32 "
    "channels at 32x32, the third with a stride of 2, with maps of 4, 4, 2 and 2 bits, quantized "
    "by aidge-quantization. aidge's figures are its block of maps; the image, 3,072 bytes, is the "
    "caller's, where our arena holds it. Its kernels know packed types, but nothing in what pip "
    "offers sets them for maps, its planner gives a packed map a byte for every value, and code "
    "that stores one does not compile (`switch` over fields that the packed types do not have). "
    "aidge-quantization's 2-bit maps are refused by the export (no `int2` in its registry of "
    "tensors). So its first figure is what a user gets, with 4-bit types on all maps, and the "
    "others are plans: we set the packed types after its adaptation of the graph, and showed its "
    "planner maps of as many values as they have packed bytes.\n"
)
AIDGE_RATIO = 0.8


def write_page(rows: Sequence[Row], loops: Sequence[Row], results: Path) -> None:
    """Write rows, single loops and targets as JSON, and the page."""
    peers = _rows_of(results.with_name("peers.json"))
    targets = [*judged(rows, loops), *judged_peers(peers)]
    write_results(rows, targets, results, loops=loops)
    PAGE.write_text(page(rows, targets, peers))


def rewrite_page(results: Path) -> None:
    """Judge what was measured anew, and write file and page."""
    known = json.loads(results.read_text()) if results.exists() else {}
    write_page(known.get("rows", []), known.get("loops", []), results)


def _rows_of(path: Path) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def judged_peers(peers: Sequence[Row]) -> Iterator[Target]:
    """Our RAM against aidge-export-cpp's, of the same network."""
    own = [row for row in peers if (row["network"], row["form"]) == ("small", "c-packed")]
    theirs = [row for row in peers if row["form"] == "aidge"]
    if own and theirs:
        ours = own[0]["activation_ram_bytes"]
        real = min(row["activation_ram_bytes"] for row in theirs if row["compiles"])
        plans = ", ".join(
            f"{ours / row['activation_ram_bytes']:.2f}x of {row['activation_ram_bytes']:,} "
            f"({row['what']})"
            for row in theirs
            if not row["compiles"]
        )
        yield target_of(
            "RAM of maps and buffers of the small network, against aidge-export-cpp",
            f"at most {AIDGE_RATIO:g}x",
            f"{ours / real:.2f}x ({ours:,} bytes of {real:,})"
            + (f"; of plans whose code does not compile, {plans}" if plans else ""),
            met=ours <= AIDGE_RATIO * real and own[0]["equal"],
        )


def judged(rows: Sequence[Row], loops: Sequence[Row]) -> Iterator[Target]:
    """The targets that rows exist for."""
    packed = [row for row in rows if row["form"] == "c-packed"]
    compressed = [row for row in rows if row["form"] != "c-int8"]
    for (network, cascades), (most, what) in RAM.items():
        own = [r for r in compressed if (r["network"], r["cascades"]) == (network, cascades)]
        if own:
            best = _best(own)
            yield target_of(
                f"{what}, at most {DROP_PP:g} points lost",
                f"at most {most} KiB",
                f"{best['total_ram_bytes'] / KIB:.1f} KiB with {_lost(best)}",
                met=best["total_ram_bytes"] <= most * KIB and best["accuracy_drop_pp"] <= DROP_PP,
            )
    yield from _mobilenet(compressed)
    yield from _accuracies(packed)
    if rows:
        yield from _equality(rows)
    yield from _ratios(rows)
    if packed:
        yield from _flash(compressed)
        yield from _export(packed)
    for loop in loops:
        yield target_of(
            f"M7 instructions of {loop['what']}",
            f"at most {loop['most']:g}",
            f"{loop['instructions']:.2f}",
            met=loop["instructions"] <= loop["most"],
        )


def _lost(row: Row) -> str:
    return (
        f"{row['accuracy_drop_pp']:.2f} points lost on {row['test_images']:,} images "
        f"({row['run']}, {row['form']})"
    )


def _best(rows: Sequence[Row]) -> Row:
    """The least RAM within the drop; without any, the least drop."""
    within = [row for row in rows if row["accuracy_drop_pp"] <= DROP_PP]
    if within:
        return min(within, key=lambda row: int(row["total_ram_bytes"]))
    return min(rows, key=lambda row: float(row["accuracy_drop_pp"]))


def _mobilenet(compressed: Sequence[Row]) -> Iterator[Target]:
    own = [row for row in compressed if row["network"].startswith("mobilenet") and row["cascades"]]
    if own:
        best = _best(own)
        ratio = best["largest_int8_pair_bytes"] / best["total_ram_bytes"]
        yield target_of(
            f"MobileNetV2, whole RAM against its largest pair of int8 maps "
            f"({best['largest_int8_pair_bytes']:,} bytes), at most {DROP_PP:g} points lost",
            "at least 4x less",
            f"{ratio:.2f}x less ({best['total_ram_bytes']:,} bytes) with {_lost(best)}",
            met=ratio >= 4 and best["accuracy_drop_pp"] <= DROP_PP,
        )


def _accuracies(packed: Sequence[Row]) -> Iterator[Target]:
    """Of integers against the float network."""
    for network in dict.fromkeys(row["network"] for row in packed):
        own = [row for row in packed if row["network"] == network]
        best = _best(own)
        lost = {
            "at 8 bit": (100 * (best["accuracy_float"] - best["accuracy_int8"]), 0.2),
            f"at the budget of {best['run']}": (
                100 * (best["accuracy_float"] - best["accuracy"]),
                0.5,
            ),
        }
        for where, (points, most) in lost.items():
            yield target_of(
                f"accuracy of {network} in integers against float, {where}",
                f"at most {most:g} points lost",
                f"{points:.2f} points lost on {best['test_images']:,} images",
                met=points <= most,
            )


def _ratios(rows: Sequence[Row]) -> Iterator[Target]:
    """Against the same export with int8 maps."""
    for form, maps, instructions, moved in (
        ("c-packed", "packed maps", 1.15, 0.3),
        ("c-rans", "maps in rANS", 1.35, 0.2),
    ):
        yield from _instructions(rows, form, f"instructions on M7 with {maps}", instructions)
        yield from _moved(rows, form, maps, moved)
    if rows:
        off = max(abs(row["maps_moved_bytes"] / row["maps_account_bytes"] - 1) for row in rows)
        yield target_of(
            "bytes loaded from and stored to maps, counted, against the account of the plan",
            "equal within 2 %",
            f"at most {100 * off:.2f} % apart in {len(rows)} exports",
            met=off <= 0.02,
        )


def _against_int8(rows: Sequence[Row], form: str, figure: str) -> list[tuple[Row, float]]:
    """Rows of a form, and a figure as a multiple of that of the same export with int8 maps."""
    by_key = {(row["run"], row["form"], row["cascades"]): row for row in rows}
    return [
        (row, row[figure] / by_key[run, "c-int8", cascades][figure])
        for (run, found_form, cascades), row in by_key.items()
        if found_form == form and (run, "c-int8", cascades) in by_key
    ]


def _instructions(rows: Sequence[Row], form: str, what: str, most: float) -> Iterator[Target]:
    """Every export has to keep within it."""
    found = _against_int8(rows, form, "instructions")
    if found:
        yield target_of(
            f"{what}, against the same export with int8 maps",
            f"at most {most:g}x",
            ", ".join(f"{ratio:.2f}x ({row['run']})" for row, ratio in found),
            met=max(ratio for _, ratio in found) <= most,
        )


def _moved(rows: Sequence[Row], form: str, maps: str, most: float) -> Iterator[Target]:
    """Some network has to move so little, and lose little."""
    found = _against_int8(rows, form, "maps_moved_bytes")
    if found:
        yield target_of(
            f"bytes loaded from and stored to maps, counted, with {maps}, against the same export "
            f"with int8 maps, at most {DROP_PP:g} points lost",
            f"at most {most:g}x",
            ", ".join(
                f"{ratio:.2f}x with {row['accuracy_drop_pp']:.2f} points lost ({row['run']})"
                for row, ratio in found
            ),
            met=any(ratio <= most and row["accuracy_drop_pp"] <= DROP_PP for row, ratio in found),
        )


def _flash(packed: Sequence[Row]) -> Iterator[Target]:
    most = max(packed, key=lambda row: int(row["codec_flash_bytes"]))
    yield target_of(
        "flash of codecs: code and tables",
        "at most 8 KiB",
        f"at most {most['codec_flash_bytes'] / KIB:.1f} KiB ({most['run']})",
        met=most["codec_flash_bytes"] <= 8 * KIB,
    )


def _export(packed: Sequence[Row]) -> Iterator[Target]:
    own = [r for r in packed if r["network"] == "resnet18_fashion_mnist" and r["export_s"]]
    if own:
        most = max(own, key=lambda row: float(row["export_s"]))
        yield target_of(
            "`actpress export` of the bundled ResNet18, the whole command",
            "at most 20 s",
            f"{most['export_s']:.1f} s by the clock, beside what else the machine did "
            f"({most['export_processor_s']:.1f} s of one processor)",
            met=most["export_s"] <= 20,
        )


def _equality(rows: Sequence[Row]) -> Iterator[Target]:
    packed = [row for row in rows if row["form"] == "c-packed" and row["cascades"]]
    images = {
        network: max(row["host"]["images"] for row in packed if row["network"] == network)
        for network in dict.fromkeys(row["network"] for row in packed)
    }
    told = ", ".join(f"{network} on {count:,} images" for network, count in images.items())
    yield target_of(
        "C on the host against the numpy reference, every stored symbol and every logit",
        "all equal on 1,000 images of every network",
        f"{sum(row['host']['equal'] for row in rows)} of {len(rows)} exports all equal; "
        f"packed maps and cascades of {told}",
        met=bool(images)
        and min(images.values()) >= 1000
        and all(row["host"]["equal"] for row in rows),
    )
    yield from _mains(packed)
    boards = [board for row in rows for board in row["boards"].values()]
    yield target_of(
        "C on M4 and M7 in the emulator, 3 images a network",
        "all equal",
        f"{sum(board['equal'] for board in boards)} of {len(boards)} all equal",
        met=all(board["equal"] for board in boards),
    )


def _mains(packed: Sequence[Row]) -> Iterator[Target]:
    """The program that comes with an export, on a real image."""
    own = [row for row in packed if row.get("main_equal") is not None]
    if own:
        yield target_of(
            "main.c of an export reads the first test image and prints its logits, on the host, M4 "
            "and M7",
            "those of the numpy reference",
            ", ".join(
                f"{row['run']} {'equal' if row['main_equal'] else 'NOT equal'}" for row in own
            ),
            met=all(row["main_equal"] for row in own),
        )


def page(rows: Sequence[Row], targets: Sequence[Target], peers: Sequence[Row] = ()) -> str:
    """docs/results-device.md."""
    lines = [target_line(t["what"], t["target"], t["measured"], met=t["met"]) for t in targets]
    columns = (
        *("run", "form", "cascades", "maps, bytes", "line buffers", "stack", "whole RAM"),
        *("flash", "code", "of codecs", "M7 instructions", "a product", "bytes of maps moved"),
        *("images", "accuracy, %", "drop, points"),
    )
    return "\n".join(
        (
            "# C on microcontrollers",
            "",
            INTRODUCTION,
            TARGETS,
            *lines,
            "",
            "## Rows",
            "",
            table(columns, map(_cells, rows), words=3),
            *_peers(peers),
            TRIED,
            MISSING,
            commits_line(rows),
        )
    )


def _peers(peers: Sequence[Row]) -> Iterator[str]:
    if peers:
        yield PEERS
        columns = ("network", "form", "what", "compiles", "RAM, bytes", "SRAM traffic, bytes")
        yield table(columns, map(_peer_cells, peers), words=4)


def _peer_cells(row: Row) -> tuple[str, ...]:
    moved = row["moved_bytes"]
    return (
        row["network"],
        row["form"],
        row["what"],
        "yes" if row.get("compiles", True) else "no",
        f"{row['activation_ram_bytes']:,}",
        "" if moved is None else f"{moved:,}",
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row["run"],
        row["form"],
        "yes" if row["cascades"] else "no",
        f"{row['activation_ram_bytes']:,}",
        f"{row['line_buffer_bytes']:,}",
        f"{row['stack_bytes']:,}",
        f"{row['total_ram_bytes']:,}",
        f"{row['flash_bytes']:,}",
        f"{row['code_bytes']:,}",
        f"{row['codec_flash_bytes']:,}",
        f"{row['instructions']:,}",
        f"{row['instructions'] / row['macs']:.2f}",
        f"{row['maps_moved_bytes']:,}",
        f"{row['test_images']:,}",
        f"{100 * row['accuracy']:.2f}",
        f"{row['accuracy_drop_pp']:.2f}",
    )

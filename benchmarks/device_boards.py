"""What an exported folder does on emulated boards."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

OF_CODECS = (
    r"^(un)?pack_|^(en|de)code_|^code(_|$)|^same$|^look_up$|_lines(_\d+)?_(values|start|spans)"
    r"|_of_\d+_bits|_coded(_\d+)?$"
)
SIZED = 4
"""Columns of a symbol that has a size: address, size, kind, name."""


@dataclass(frozen=True)
class BoardFigures:
    """Of one emulated board.

    Attributes:
        equal: whether logits and stored maps of all golden images were those of the reference.
        stack_bytes: deepest stack, the caller's included.
        ram_bytes: static memory of network and weights.
        code_bytes, constant_bytes: of flash.
        instructions: of one inference.
        loaded, stored: bytes from and to memory.
        arena_loaded, arena_stored: of these, from and to the arena.
        map_loaded, map_stored: of these, from and to stored maps; the rest is line buffers.
    """

    equal: bool
    stack_bytes: int
    ram_bytes: int
    code_bytes: int
    constant_bytes: int
    instructions: int
    loaded: int
    stored: int
    arena_loaded: int
    arena_stored: int
    map_loaded: int
    map_stored: int


def on_board(folder: Path, board: str) -> BoardFigures:
    """Run an exported folder on an emulated board, `m4` or `m7`."""
    said = _make(folder, "qemu", f"BOARD={board}")

    def number(pattern: str) -> int:
        found = re.search(pattern, said)
        assert found is not None, f"{folder}: no {pattern} in\n{said}"
        return int(found.group(1))

    return BoardFigures(
        equal="maps and outputs" in said and "NOT equal" not in said,
        stack_bytes=number(r"stack (\d+) bytes"),
        ram_bytes=number(r"RAM (\d+) bytes"),
        code_bytes=number(r"code (\d+),"),
        constant_bytes=number(r"constants (\d+)"),
        instructions=number(r"instructions (\d+)"),
        loaded=number(r"loaded (\d+) bytes"),
        stored=number(r"stored (\d+) bytes"),
        arena_loaded=number(r"of the arena (\d+)"),
        arena_stored=number(r"in the arena (\d+)"),
        map_loaded=number(r"maps: loaded (\d+)"),
        map_stored=number(r"maps: loaded \d+ bytes, stored (\d+)"),
    )


def _make(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  the folder was written by this benchmark
        ["make", "-s", "-C", str(folder), *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def said_by_main(folder: Path, board: str | None, image: Path) -> list[int]:
    """Logits that main.c prints for a file with an image, on a board, or on this machine."""
    if board is None:
        _make(folder, "main")
        command = [str((folder / "main").resolve()), str(image.resolve())]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        said = done.stdout
    else:
        said = _make(folder, "qemu-main", f"BOARD={board}", f"IMAGE={image.resolve()}")
    return [int(line.split()[1]) for line in said.splitlines()]


def codec_flash_bytes(folder: Path) -> int:
    """Code and tables that pack, unpack and turn codes into line values, of the M7 build."""
    total = 0
    for source in ("net", "weights"):
        done = subprocess.run(  # noqa: S603  the folder was written by this benchmark
            ["arm-none-eabi-nm", "-S", str(folder / "build" / f"m7-{source}.o")],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            parts = line.split()
            if len(parts) == SIZED and re.search(OF_CODECS, parts[3]):
                total += int(parts[1], 16)
    return total

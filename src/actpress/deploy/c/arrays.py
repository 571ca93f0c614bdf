"""C text of constants, with names that come from the network's modules."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from actpress.deploy.integer.arithmetic import Values

LINE = 100
TYPES = {
    "int8_t": np.int8,
    "uint8_t": np.uint8,
    "uint16_t": np.uint16,
    "uint32_t": np.uint32,
    "int32_t": np.int32,
    "float": np.float32,
}


def literal(number: np.int64 | np.float32) -> str:
    """A number in C; the decimals of a float32 are enough to read it back."""
    return f"{number}f" if isinstance(number, np.float32) else str(number)


def identifier(name: str) -> str:
    """A module's name as a C name: `layer1.0.conv1` is `layer1_0_conv1`."""
    plain = re.sub(r"\W", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


@dataclass
class Names:
    """Gives every name once.

    Attributes:
        taken: so far.
    """

    taken: set[str] = field(default_factory=set)

    def free(self, name: str) -> str:
        """The name as an identifier, with a number where it is taken."""
        plain = identifier(name)
        found, count = plain, 1
        while found in self.taken:
            count += 1
            found = f"{plain}_{count}"
        self.taken.add(found)
        return found


@dataclass
class Constants:
    """Arrays of weights.c; equal ones are written once.

    Attributes:
        names: of the arrays.
        definitions, declarations: in order.
        size_bytes: of all arrays.
    """

    names: Names = field(default_factory=Names)
    definitions: list[str] = field(default_factory=list)
    declarations: list[str] = field(default_factory=list)
    size_bytes: int = 0
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def array(self, kind: str, values: Values, name: str, comment: str = "") -> str:
        """Add an array of numbers; returns its name."""
        stored = np.ascontiguousarray(values).astype(TYPES[kind])
        assert (stored == values).all(), f"{name}: values do not fit in {kind}"
        key = kind, stored.tobytes()
        if key not in self._known:
            free = self.names.free(name)
            numbers = wrapped(map(literal, stored.ravel()))
            note = f"/* {comment} */\n" if comment else ""
            self._add(f"{note}const {kind} {free}[{stored.size}]", numbers, stored.nbytes)
            self._known[key] = free
        return self._known[key]

    def structures(self, kind: str, rows: list[str], name: str, size: int) -> str:
        """Add an array of structures, `size` bytes each; returns its name."""
        key = kind, "".join(rows).encode()
        if key not in self._known:
            free = self.names.free(name)
            text = "".join(f"    {row},\n" for row in rows)
            self._add(f"const struct {kind} {free}[{len(rows)}]", text, size * len(rows))
            self._known[key] = free
        return self._known[key]

    def _add(self, head: str, body: str, size: int) -> None:
        self.definitions.append(f"{head} = {{\n{body}}};\n")
        self.declarations.append(f"extern {head.rpartition('*/')[2].strip()};")
        self.size_bytes += size


def wrapped(items: Iterable[str]) -> str:
    """Items with commas, in indented lines."""
    lines: list[str] = []
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > LINE:
            lines.append(line)
            line = "   "
        line += f" {item},"
    lines.append(line)
    return "".join(f"{each}\n" for each in lines)

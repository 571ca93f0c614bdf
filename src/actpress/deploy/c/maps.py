"""Maps as C structures, with the codes of their rows and how they are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from actpress.deploy.c.arrays import Constants
from actpress.deploy.c.kinds import Kind, channels
from actpress.deploy.integer import AnyRescale, IntegerMap, Matrix, Reading, Table
from actpress.deploy.integer.arithmetic import Values
from actpress.deploy.memory import CodedGroup, Group, MemoryPlan, RowLayout
from actpress.errors import ExportError

QUAD = 4
BIAS_OF_BYTES = 128
HALF = 16
MOST_UINT8 = (1 << 8) - 1
MOST_UINT16 = (1 << 16) - 1
NUMBER_BYTES = {"uint8_t": 1, "uint16_t": 2}


@dataclass
class MapStructures:
    """Maps and readings of a network.

    Attributes:
        plan: where maps and line buffers are.
        kind: of weights.
        constants: arrays so far.
        descriptors: static structures of net.c, in order.
        used: operators that net.c must have.
    """

    plan: MemoryPlan
    kind: Kind
    constants: Constants = field(default_factory=Constants)
    descriptors: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    _known: dict[object, str] = field(default_factory=dict)

    @cached_property
    def types(self) -> dict[str, str]:
        """Of positions among channels and in tables: the smallest that hold all of them."""
        members = [
            max(group.members) for layout in self.plan.layouts.values() for group in layout.groups
        ]
        stages = [stage for chain in self.plan.chains for stage in chain.stages]
        tables = [reading.table for stage in stages for reading in stage.readings]
        tables += [stage.table for stage in stages]
        own = [table for table in tables if table is not None]
        members += [len(table.start) - 1 for table in own if not table.is_one]
        starts = [int(table.start.max()) for table in own]
        return {"MEMBER": _smallest(members), "START": _smallest(starts)}

    def reading(self, reading: Reading) -> str:
        """The structure of a reading."""
        name = reading.map.name
        table = "0"
        if reading.table is not None:
            lines = reading.table
            if reading.decoder is None:
                lines = self._of_any_code(lines, reading.map)
            table = f"&{self._line_table(lines, reading.map, f'{name}.lines')}"
        decoder = "0"
        if reading.decoder is not None:
            self.used.add("decoder")
            moved = BIAS_OF_BYTES if reading.table is not None else 0
            matrix = self.matrix(reading.decoder, f"{name}.decoder", table, moved=moved)
            table, decoder = "0", f"&{matrix}"
        zero = "" if self.kind.is_float else f"{self.zero(reading)}, "
        body = f"{{ &{self.map(reading.map)}, {table}, {decoder}, {zero}{reading.channels} }}"
        return self.static("reading", body, f"{name}.reading")

    def map(self, stored: IntegerMap) -> str:
        """The structure of a map; one that is handed on row by row has no groups."""
        layout = self.plan.layouts[stored.name]
        offset = self.plan.offsets.get(stored.name)
        groups, count, coding = "0", 0, "0"
        if offset is not None:
            coding = self._coding(layout, stored.name)
            whole = len(layout.groups) == 1
            rows = [self._group(group, stored.name, whole=whole) for group in layout.groups]
            groups, count = self.static_array("group", rows, f"{stored.name}.groups"), len(rows)
        sizes = f"{stored.channels}, {stored.height}, {stored.width}"
        body = f"{{ {groups}, {coding}, {offset or 0}, {layout.row_bytes}, {count}, {sizes} }}"
        return self.static("map", body, f"{stored.name}.map")

    def table(self, table: Table, name: str) -> str:
        """The structure of a table of bytes; int8 values are kept as their bits."""
        values = self._table_values("uint8_t", table, name)
        return self.static("table", f"{{ {values}, {self._spans(table, name)}, 0 }}", name)

    def _line_table(self, table: Table, read: IntegerMap, name: str) -> str:
        if self.kind.is_float:
            values = self._table_values("float", table, name)
            return self.static("line_table", f"{{ {values}, {self._starts(table, name)} }}", name)
        starts = self._group_starts(table, read)
        if starts is None:
            return self.table(table, name)
        values = self._table_values("uint8_t", table, name)
        return self.static("table", f"{{ {values}, 0, {self._starts(starts, name)} }}", name)

    def _group_starts(self, table: Table, read: IntegerMap) -> Table | None:
        """The table of the groups of a packed map; None where their channels differ."""
        layout = self.plan.layouts[read.name]
        if table.is_one or read.name not in self.plan.offsets or layout.coding is not None:
            return None
        starts = [np.unique(table.start[list(group.members)]) for group in layout.groups]
        alike = all(len(each) == 1 for each in starts)
        return Table(table.values, np.concatenate(starts)) if alike else None

    def _table_values(self, number: str, table: Table, name: str) -> str:
        values = table.values[int(table.start[0]) :] if table.is_one else table.values
        if number == "uint8_t":
            values = values & MOST_UINT8
        if not table.is_one and table.start.max() > MOST_UINT16:
            raise ExportError(f"{name} needs more than {MOST_UINT16} table entries")
        return self.constants.array(number, values, f"{name}_values")

    def _spans(self, table: Table, name: str) -> str:
        """Channels side by side whose values begin alike: the last one, and where they begin."""
        if table.is_one:
            return "0"
        lasts = np.append(np.flatnonzero(np.diff(table.start)), len(table.start) - 1)
        rows = [f"{{{last}, {table.start[last]}}}" for last in lasts]
        size = 2 * max(NUMBER_BYTES[self.types[each]] for each in ("MEMBER", "START"))
        return self.constants.structures("span", rows, f"{name}_spans", size)

    def _starts(self, table: Table, name: str) -> str:
        if table.is_one:
            return "0"
        return self.constants.array(self.types["START"], table.start, f"{name}_start")

    def matrix(self, matrix: Matrix, name: str, table: str, *, moved: int) -> str:
        """The structure of a matrix; `moved` is added to what comes out."""
        outputs, inputs = matrix.weight.shape
        comment = f"{name}: ({outputs}, {inputs})"
        weight = self.constants.array(self.kind.number, matrix.weight, f"{name}_weight", comment)
        rescaled = self.rescaled(matrix.bias, matrix.rescale, name, moved)
        after = "" if self.kind.is_float else f"{table}, "
        body = f"{{ {weight}, {rescaled}, {after}{inputs}, {outputs} }}"
        return self.static("matrix", body, name)

    def _group(self, group: Group, name: str, *, whole: bool) -> str:
        runs, count = self._runs(group.members, f"{name}_of_{group.bits}_bits", whole=whole)
        if group.row_bytes > MOST_UINT16:
            raise ExportError(f"{name}: a row takes {group.row_bytes:,} bytes, expected 65,535")
        sizes = f"{len(group.members)}, {count}, {group.row_bytes}, {group.bits}"
        return f"{{ {runs}, {sizes} }}"

    def _runs(self, members: Sequence[int], name: str, *, whole: bool) -> tuple[str, int]:
        """Channels that lie side by side, first and number, and how many such runs there are."""
        if whole:
            return "0", 1
        listed = np.array(members)
        runs = np.split(listed, np.flatnonzero(np.diff(listed) != 1) + 1)
        rows = [f"{{{run[0]}, {len(run)}}}" for run in runs]
        size = 2 * NUMBER_BYTES[self.types["MEMBER"]]
        return self.constants.structures("run", rows, name, size), len(rows)

    def _coding(self, layout: RowLayout, name: str) -> str:
        if layout.coding is None:
            return "0"
        if layout.row_bytes > MOST_UINT16:
            raise ExportError(f"{name}: a row takes {layout.row_bytes:,} bytes, expected 65,535")
        self.used.add("coding")
        rows = [
            self._coded_group(group, name, whole=len(layout.coding.groups) == 1)
            for group in layout.coding.groups
        ]
        groups = self.static_array("coded_group", rows, f"{name}.coded_groups")
        body = f"{{ {groups}, {len(rows)}, {layout.coding.dropped_bits} }}"
        return f"&{self.static('coding', body, f'{name}.coding')}"

    def _coded_group(self, group: CodedGroup, name: str, *, whole: bool) -> str:
        code = "0"
        if group.table is not None:
            negated = -np.array(group.table.firsts) & MOST_UINT16
            shares = np.array(group.table.frequencies) << HALF | negated
            symbol_at = self.constants.array("uint8_t", group.table.code_at, "code_symbol_at")
            stored = self.constants.array("uint32_t", shares, "code_shares")
            code = f"&{self.static('code', f'{{ {symbol_at}, {stored} }}', 'code')}"
        runs, count = self._runs(group.members, f"{name}_coded", whole=whole)
        return f"{{ {code}, {runs}, {len(group.members)}, {count} }}"

    def _of_any_code(self, table: Table, stored: IntegerMap) -> Table:
        """With values for all that a row which was damaged may be decoded to."""
        coding = self.plan.layouts[stored.name].coding
        if coding is None:
            return table
        levels = 1 << stored.bits
        for group in coding.groups:
            if group.table is not None:
                own = list(group.members)
                levels[own] = np.maximum(levels[own], len(group.table.frequencies))
        missing = int((table.start + levels).max()) - len(table.values)
        return Table(np.pad(table.values, (0, max(missing, 0))), table.start)

    def zero(self, reading: Reading) -> str:
        return self.constants.array("int8_t", reading.zero, f"{reading.map.name}_zero")

    def rescaled(
        self, bias: Values, rescale: AnyRescale, name: str, moved: int, *, groups: int = 0
    ) -> str:
        """Channels; with `groups`, those of each group filled up to a multiple of four."""
        rows = list(channels(bias, rescale, moved))
        if groups:
            size = len(rows) // groups
            empty = [self.kind.no_channel] * (-size % QUAD)
            rows = [
                row
                for first in range(0, len(rows), size)
                for row in (*rows[first : first + size], *empty)
            ]
        return self.constants.structures(
            "channel", rows, f"{name}_channels", self.kind.channel_bytes
        )

    def static(self, kind: str, body: str, name: str) -> str:
        key = kind, body
        if key not in self._known:
            free = self.constants.names.free(name)
            self.descriptors.append(f"static const struct {kind} {free} = {body};\n")
            self._known[key] = free
        return self._known[key]

    def static_array(self, kind: str, rows: list[str], name: str) -> str:
        key = kind, tuple(rows)
        if key not in self._known:
            free = self.constants.names.free(name)
            text = "".join(f"    {row},\n" for row in rows)
            self.descriptors.append(f"static const struct {kind} {free}[] = {{\n{text}}};\n")
            self._known[key] = free
        return self._known[key]


def _smallest(numbers: Iterable[int]) -> str:
    return "uint8_t" if max(numbers, default=0) <= MOST_UINT8 else "uint16_t"

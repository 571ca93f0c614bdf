"""Stages as C structures: arrays for weights.c, descriptors for net.c."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from actpress.deploy.c.maps import BIAS_OF_BYTES, QUAD, MapStructures
from actpress.deploy.integer import (
    Addend,
    Convolution,
    Matrix,
    Pool,
    Reading,
    Rescale,
    Stage,
    Table,
)
from actpress.deploy.integer.arithmetic import Values
from actpress.deploy.memory import Buffers
from actpress.deploy.memory.schedule import adds_up, aligned, window_of
from actpress.errors import ExportError


class Structures(MapStructures):
    """Everything constant of a network: stages, and the maps that they read and store."""

    def stage(self, stage: Stage, buffers: Buffers, at: int) -> str:
        """The initializer of a stage whose line buffers begin at an offset."""
        source, name = stage.source, stage.name
        places = np.cumsum(
            [at] + [aligned(each) for each in (buffers.rows, *buffers.joins)]
        ).tolist()
        sums_at = places[-1]
        own_row_at = sums_at + aligned(buffers.sums)
        window = window_of(stage)
        outputs, height, width = stage.size
        fields = {
            "compute": self._compute(stage),
            "absorb": self._absorb(stage),
            "source": "0" if source is None else f"&{self.reading(source)}",
            "channels": self._channels(stage),
            "joins": self._joins(stage, places[1:-1]),
            "table": self._stage_table(stage),
            "encoder": self._encoder(stage),
            "target": "0" if stage.target is None else f"&{self.map(stage.target)}",
            "rows_at": places[0],
            "sums_at": sums_at,
            "row_at": _row_at(buffers, places[1:-1], own_row_at),
            "codes_at": own_row_at + aligned(buffers.row),
            "row_stride": buffers.row_stride,
            "slots": buffers.slots,
            "join_count": len(stage.addends),
            "outputs": outputs,
            "height": height,
            "width": width,
            "kernel_height": window.kernel[0],
            "kernel_width": window.kernel[1],
            "stride_height": window.stride[0],
            "stride_width": window.stride[1],
            "dilation_height": window.dilation[0],
            "dilation_width": window.dilation[1],
            "top": window.before[0],
            "left": window.before[1],
        }
        if isinstance(stage.operation, Convolution) and source is not None:
            fields |= self._weights(stage.operation, source, name)
            fields["padding"] = self._padding(source, largest=False)
        elif isinstance(stage.operation, Pool) and source is not None:
            largest = stage.operation.largest
            fields["padding"] = self._padding(source, largest=largest)
            fields["begin"] = self.kind.below_all if largest else 0
        lines = [
            f"        .{key} = {value},\n" for key, value in fields.items() if value not in (0, "0")
        ]
        return f"    {{ /* {self._comment(stage)} */\n{''.join(lines)}    }},\n"

    def _compute(self, stage: Stage) -> str:
        operation = stage.operation
        if operation is None:
            name = "add_up"
        elif isinstance(operation, Convolution):
            name = "depthwise" if operation.is_depthwise else "convolve"
        elif adds_up(stage):
            name = "hand_over"
        else:
            name = "largest" if operation.largest else "total"
        self.used.add(name)
        return name

    def _absorb(self, stage: Stage) -> str:
        if not adds_up(stage):
            return "0"
        name = "absorb_largest" if cast(Pool, stage.operation).largest else "absorb_total"
        self.used.add(name)
        return name

    def _padding(self, source: Reading, *, largest: bool) -> str:
        """What lies beyond borders: in integers an array, or 0 for the least line value."""
        if self.kind.is_float:
            return "LEAST" if largest else "0"
        return "0" if largest else self.zero(source)

    def _channels(self, stage: Stage) -> str:
        bias: Values = np.zeros_like(stage.rescale.multiplier)
        if isinstance(stage.operation, Convolution):
            bias = stage.operation.bias
        if stage.target is None and isinstance(stage.rescale, Rescale):
            wide = stage.rescale.low.max() > -(2**31) or stage.rescale.high.min() < 2**31 - 1
            if wide:
                raise ExportError(f"{stage.name}: an activation of logits has no C form")
            none = np.zeros_like(bias)
            free = Rescale(stage.rescale.multiplier, stage.rescale.shift, none, none, none)
            return self.rescaled(bias, free, stage.name, 0, groups=_fours(stage))
        inner = stage.table is not None or stage.encoder is not None
        moved = -stage.rescale.least if inner else 0
        return self.rescaled(bias, stage.rescale, stage.name, moved, groups=_fours(stage))

    def _stage_table(self, stage: Stage) -> str:
        if stage.table is None:
            return "0"
        self.used.add("table")
        table = stage.table
        if stage.encoder is not None:  # int8 values become bytes that the encoder takes
            table = Table(table.values + BIAS_OF_BYTES, table.start)
        return f"&{self.table(table, f'{stage.name}.function')}"

    def _encoder(self, stage: Stage) -> str:
        if stage.encoder is None:
            return "0"
        self.used.add("encoder")
        encoder = stage.encoder
        if not self.kind.is_float:
            bias = encoder.bias - BIAS_OF_BYTES * encoder.weight.sum(axis=1)
            encoder = Matrix(encoder.weight, bias, encoder.rescale)
        return f"&{self.matrix(encoder, f'{stage.name}.encoder', '0', moved=0)}"

    def _joins(self, stage: Stage, places: list[int]) -> str:
        if not stage.addends:
            return "0"
        rows = [
            self._join(stage, addend, at) for addend, at in zip(stage.addends, places, strict=True)
        ]
        return self.static_array("join", rows, f"{stage.name}.joins")

    def _join(self, stage: Stage, addend: Addend, at: int) -> str:
        name = f"{stage.name}_join_{addend.reading.map.name}"
        multiplier = self.constants.array(self.kind.multiplier, addend.multiplier, name)
        return f"{{ &{self.reading(addend.reading)}, {multiplier}, {at}, {addend.first} }}"

    def _weights(self, convolution: Convolution, source: Reading, name: str) -> dict[str, object]:
        outputs = len(convolution.bias)
        shape = convolution.weight.shape
        comment = f"{name}: {shape}"
        if convolution.is_depthwise:
            weight = convolution.weight[:, 0].transpose(1, 2, 0)
            stored = self.constants.array(self.kind.number, weight, f"{name}_weight", comment)
            return {"weight": stored}
        whole = convolution.groups == 1 and convolution.window.dilation[1] == 1
        weight = by_fours(convolution, self.kind.inputs, whole=whole)
        step = convolution.window.dilation[1] * source.channels
        return {
            "weight": self.constants.array(self.kind.number, weight, f"{name}_weight", comment),
            "groups": convolution.groups,
            "group_outputs": outputs // convolution.groups,
            "runs": weight.shape[3],
            "run_skip": 0 if whole else step - self.kind.inputs * weight.shape[4],
            "quads": weight.shape[4],
        }

    def _comment(self, stage: Stage) -> str:
        source = stage.source or stage.addends[0].reading
        target = "logits" if stage.target is None else stage.target.name
        kernel = "x".join(map(str, window_of(stage).kernel))
        return (
            f"{stage.name}: {_shape(source.map.shape)} -> {target} {_shape(stage.size)}, "
            f"window {kernel}"
        )


def _row_at(buffers: Buffers, joins: Sequence[int], own: int) -> object:
    """Where the row that is computed lies; see `Buffers`."""
    if buffers.row_in_next:
        return "IN_NEXT_LINE"
    return own if buffers.row_in_join is None else joins[buffers.row_in_join]


def _fours(stage: Stage) -> int:
    """Groups whose outputs are computed by fours; 0 for other operations."""
    operation = stage.operation
    dense = isinstance(operation, Convolution) and not operation.is_depthwise
    return operation.groups if isinstance(operation, Convolution) and dense else 0


def by_fours(convolution: Convolution, at_once: int, *, whole: bool) -> Values:
    """Weights in the order in which `convolve` reads them.

    Args:
        convolution: whose weights.
        at_once: inputs of a step.
        whole: whether all inputs of a kernel row lie one after the other.

    Returns:
        Shape (groups, blocks of four outputs, kernel height, runs, steps, 4 outputs, inputs).
    """
    outputs, inputs, height, width = convolution.weight.shape
    groups = convolution.groups
    per_group = outputs // groups
    runs, length = (1, width * inputs) if whole else (width, inputs)
    weight = convolution.weight.transpose(0, 2, 3, 1).reshape(
        groups, per_group, height, runs, length
    )
    room = [(0, 0), (0, -per_group % QUAD), (0, 0), (0, 0), (0, -length % at_once)]
    weight = np.pad(weight, room)
    blocks, steps = weight.shape[1] // QUAD, weight.shape[4] // at_once
    split = weight.reshape(groups, blocks, QUAD, height, runs, steps, at_once)
    return split.transpose(0, 1, 3, 4, 5, 2, 6)


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"

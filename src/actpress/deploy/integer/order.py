"""Channels of maps in the order of their widths, so that those of one width lie side by side.

Only the stages that write and read a map know which of its channels is which, so that any order
gives the same integers. Maps whose channels a stage passes on one by one share theirs: a depthwise
convolution, a pool, a sum.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.integer.network import (
    Addend,
    AnyRescale,
    Convolution,
    FloatRescale,
    IntegerMap,
    IntegerNetwork,
    Matrix,
    Pool,
    Reading,
    Stage,
)

AS_THEY_ARE = ""
"""What channels are tied to that keep their order: those of the image, of logits, and of values
that a projection reads or gives."""


def by_width(network: IntegerNetwork) -> IntegerNetwork:
    """The network with other orders of channels; outputs stay as they are."""
    return _Reordered(network, _orders(network)).network()


def _orders(network: IntegerNetwork) -> dict[str, Array]:
    """The channel of each map that comes to each place, shape (channels,), by name."""
    tied: dict[str, list[IntegerMap]] = {}
    leaders = _leaders(network)
    for each in network.maps:
        tied.setdefault(leaders[each.name], []).append(each)
    orders = {}
    for leader, maps in tied.items():
        if leader == leaders[AS_THEY_ARE]:
            orders.update({each.name: _same(each.channels) for each in maps})
        else:
            order = np.lexsort([each.bits for each in reversed(maps)])
            orders.update(dict.fromkeys([each.name for each in maps], order))
    return orders


def _leaders(network: IntegerNetwork) -> dict[str, str]:
    """One of the maps that each is tied to, by name; the same for all of them."""
    leaders = {name: name for name in (AS_THEY_ARE, *(each.name for each in network.maps))}
    for one, other in _ties(network):
        first, second = leaders[one], leaders[other]
        leaders = {name: first if at == second else at for name, at in leaders.items()}
    return leaders


def _ties(network: IntegerNetwork) -> Iterator[tuple[str, str]]:
    """Pairs of maps, by name, whose channels have one order."""
    yield network.input.map.name, AS_THEY_ARE
    for stage in network.stages:
        result = AS_THEY_ARE
        if stage.target is not None and stage.encoder is None:
            result = stage.target.name
        if stage.source is not None:
            yield from _ties_of(stage.operation, _lines(stage.source), result)
        for addend in stage.addends:
            lines = _lines(addend.reading)
            yield lines, result
            if addend.reading.channels != stage.rescale.channels:
                yield result, AS_THEY_ARE


def _ties_of(
    operation: Convolution | Pool | None, lines: str, result: str
) -> Iterator[tuple[str, str]]:
    if isinstance(operation, Convolution) and operation.groups == 1:
        return
    yield lines, result
    if isinstance(operation, Convolution) and not operation.is_depthwise:
        yield result, AS_THEY_ARE


def _lines(reading: Reading) -> str:
    """Whose order line values have."""
    return reading.map.name if reading.decoder is None else AS_THEY_ARE


def _same(channels: int) -> Array:
    return np.arange(channels)


@dataclass(frozen=True)
class _Reordered:
    """A network as it becomes.

    Attributes:
        given: as it is.
        orders: of the channels of maps, by name.
    """

    given: IntegerNetwork
    orders: Mapping[str, Array]

    def network(self) -> IntegerNetwork:
        maps = {each.name: self._map(each) for each in self.given.maps}
        image = replace(self.given.input, map=maps[self.given.input.map.name])
        stages = tuple(self._stage(stage, maps) for stage in self.given.stages)
        return replace(self.given, input=image, stages=stages)

    def _map(self, stored: IntegerMap) -> IntegerMap:
        order = self.orders[stored.name]
        return replace(stored, q_min=stored.q_min[order], q_max=stored.q_max[order], order=order)

    def _stage(self, stage: Stage, maps: Mapping[str, IntegerMap]) -> Stage:
        target = None if stage.target is None else maps[stage.target.name]
        stored = None if target is None else self.orders[target.name]
        result = stored
        if stored is None or stage.encoder is not None:
            result = _same(stage.rescale.channels)
        assert result is not None
        encoder = stage.encoder
        if encoder is not None and stored is not None:
            encoder = Matrix(
                encoder.weight[stored], encoder.bias[stored], _rescale(encoder.rescale, stored)
            )
        table = stage.table
        return replace(
            stage,
            source=None if stage.source is None else self._reading(stage.source, maps),
            operation=self._operation(stage, result),
            addends=tuple(self._addend(each, maps) for each in stage.addends),
            rescale=_rescale(stage.rescale, result),
            table=None if table is None else replace(table, start=table.start[result]),
            encoder=encoder,
            target=target,
        )

    def _operation(self, stage: Stage, result: Array) -> Convolution | Pool | None:
        operation = stage.operation
        if not isinstance(operation, Convolution):
            return operation
        assert stage.source is not None
        weight = operation.weight[result]
        if operation.groups == 1:
            weight = weight[:, self._line_order(stage.source)]
        return replace(operation, weight=weight, bias=operation.bias[result])

    def _addend(self, addend: Addend, maps: Mapping[str, IntegerMap]) -> Addend:
        return replace(
            addend,
            reading=self._reading(addend.reading, maps),
            multiplier=addend.multiplier[self._line_order(addend.reading)],
        )

    def _reading(self, reading: Reading, maps: Mapping[str, IntegerMap]) -> Reading:
        stored, order = maps[reading.map.name], self._line_order(reading)
        table, decoder = reading.table, reading.decoder
        if table is not None:
            table = replace(table, start=table.start[order])
        if decoder is not None:
            decoder = replace(decoder, weight=decoder.weight[:, self.orders[stored.name]])
        return Reading(stored, table, decoder, reading.zero[order])

    def _line_order(self, reading: Reading) -> Array:
        if reading.decoder is not None:
            return _same(reading.channels)
        return self.orders[reading.map.name]


def _rescale(rescale: AnyRescale, order: Array) -> AnyRescale:
    own = replace(
        rescale,
        multiplier=rescale.multiplier[order],
        offset=rescale.offset[order],
        low=rescale.low[order],
        high=rescale.high[order],
    )
    return own if isinstance(own, FloatRescale) else replace(own, shift=own.shift[order])

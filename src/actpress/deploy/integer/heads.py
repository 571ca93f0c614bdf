"""The part of an integer network that runs on a device, when the rest runs elsewhere."""

from collections.abc import Sequence
from dataclasses import replace

from actpress.deploy.integer.network import IntegerNetwork
from actpress.errors import ExportError


def head_of(network: IntegerNetwork, sent: Sequence[str]) -> IntegerNetwork:
    """The stages that compute some maps, which are sent instead of logits.

    Args:
        network: the whole of it.
        sent: names of maps, as `Head.sites` has them, in the order of the message.

    Raises:
        ExportError: no stage stores such a map.
    """
    stored = {stage.target.name for stage in network.stages if stage.target is not None}
    for name in sent:
        if name not in stored:
            raise ExportError(f"{name}: no map of this name is stored in integers")
    needed, stages = set(sent), []
    for stage in reversed(network.stages):
        if stage.target is not None and stage.target.name in needed:
            stages.append(stage)
            needed.update(reading.map.name for reading in stage.readings)
    return replace(network, stages=tuple(reversed(stages)), sent=tuple(sent))

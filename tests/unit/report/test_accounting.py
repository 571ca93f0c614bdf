"""What stands beside a figure, so that it is not read for another one."""

from collections.abc import Callable

from actpress.evaluation.metrics import Metrics
from actpress.report.accounting import extra_macs_fact


def test_extra_operations_stand_beside_those_of_the_network(vary: Callable[..., Metrics]) -> None:
    site = (
        vary().sites[0].model_copy(update={"extra_macs": 4_000_000, "folded_extra_macs": 3_000_000})
    )
    told = extra_macs_fact(vary(sites=(site,), network_macs=120_000_000))
    assert told == (
        "3.00 M folded, 4.00 M unfolded; the network's own are 120.00 M, folded 2.5 % on top"
    )
    unknown = extra_macs_fact(vary(sites=(site,), network_macs=None))
    assert unknown == "3.00 M folded, 4.00 M unfolded"

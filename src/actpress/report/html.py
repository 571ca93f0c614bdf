"""The report as one HTML file that needs nothing else: styles and charts are inside it."""

from actpress.evaluation.metrics import Metrics
from actpress.report.accounting import (
    ENTROPY_VIEW,
    FIXED_VIEW,
    account_rows,
    context_fact,
    credit_fact,
    energy_assumptions,
    extra_macs_fact,
    latency_fact,
    measured_fact,
)
from actpress.report.environment import environment
from actpress.report.quality import drop, value
from actpress.report.wording import (
    account_parts,
    block_fact,
    caveats,
    headline,
    left_alone,
    view_of,
)


def render_html(metrics: Metrics) -> str:
    """The whole report of one run. Equal metrics give equal text.

    Every name and setting is escaped, so that a module called `<script>` stays a name.
    """
    # matplotlib takes longer to import than most commands run, and few of them draw
    from actpress.report.charts import NARROW_PX, path_chart, traffic_chart  # noqa: PLC0415
    from actpress.report.spectra import spectra  # noqa: PLC0415

    template = environment().get_template("report.html.j2")
    return template.render(
        metrics=metrics,
        view=view_of(metrics),
        headline=headline(metrics),
        drop=drop(metrics),
        compared=metrics.compared,
        before=value(metrics.compared.metric, metrics.compared.before),
        caveats=caveats(metrics),
        account=account_rows(metrics),
        parts=account_parts(metrics),
        credit=credit_fact(metrics),
        alone=left_alone(metrics),
        extra_macs=extra_macs_fact(metrics),
        latency=latency_fact(metrics),
        assumptions=energy_assumptions(metrics.energy),
        blocks=block_fact(metrics),
        contexts=context_fact(metrics),
        measured="" if metrics.measured is None else measured_fact(metrics.measured),
        views={"fixed": FIXED_VIEW, "entropy": ENTROPY_VIEW},
        spectra=spectra(metrics),
        traffic_charts=(traffic_chart(metrics), traffic_chart(metrics, width_px=NARROW_PX)),
        path_charts=(path_chart(metrics), path_chart(metrics, width_px=NARROW_PX)),
    )

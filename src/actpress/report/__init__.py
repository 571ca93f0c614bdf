"""Terminal tables and the one-file HTML report: everything a user reads about a run."""

from actpress.report.again import print_evaluation
from actpress.report.cuts import print_cuts, sent
from actpress.report.html import render_html
from actpress.report.quantities import duration
from actpress.report.sites import SiteRow, print_sites, site_rows
from actpress.report.sweep import print_sweep, render_sweep, sweep_csv
from actpress.report.terminal import print_metrics
from actpress.report.wording import headline

__all__ = [
    "SiteRow",
    "duration",
    "headline",
    "print_cuts",
    "print_evaluation",
    "print_metrics",
    "print_sites",
    "print_sweep",
    "render_html",
    "render_sweep",
    "sent",
    "site_rows",
    "sweep_csv",
]

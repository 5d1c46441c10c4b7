"""One self-contained page for a saved run, comparison, sweep, trade-off, study, search, serving or set of units.

The page holds its style, its script and its figures, so that it opens without a network; a content security policy in
its head forbids everything else. Figures are drawn from results as SVG whose places are percents, so that text keeps
its size on any screen. What users named is escaped.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from accelsim.results.result import Result

if TYPE_CHECKING:
    import pandas as pd


def run_report(result: Result, title: str | None = None) -> str:
    """The page of a run as HTML.

    Parameters
    ----------
    result : Result
    title : str, optional
        Left out, workload, machine and scheme.
    """
    from accelsim.show.report.page import html
    from accelsim.show.report.run import run_page

    return html(run_page(result, title))


def comparison_report(results: Mapping[str, Result], document: Mapping[str, Any], title: str | None = None) -> str:
    """The page of a comparison as HTML.

    Parameters
    ----------
    results : mapping of scheme to Result
    document : mapping
        `Comparison.document`, or what comparison.json of its folder holds.
    title : str, optional
        Left out, workload and machine.
    """
    from accelsim.show.report.comparison import comparison_page
    from accelsim.show.report.page import html

    return html(comparison_page(results, document, title))


def sweep_report(
    name: str, axes: Sequence[str], points: "pd.DataFrame", identity: Mapping[str, Any], title: str | None = None
) -> str:
    """The page of a sweep as HTML, also of one that is under way.

    Parameters
    ----------
    name : str
    axes : sequence of str
        Columns of `points` that were swept.
    points : pandas.DataFrame
        `SweepRun.to_frame`.
    identity : mapping
        What sweep.json of its folder holds; may be empty.
    title : str, optional
        Left out, the name.
    """
    from accelsim.show.report.page import html
    from accelsim.show.report.sweep import sweep_page

    return html(sweep_page(name, axes, points, identity, title))


def document_report(kind: str, document: Mapping[str, Any], title: str | None = None) -> str:
    """The page of a trade-off, of serving, of a study, of a search or of attention accelerators as HTML.

    Parameters
    ----------
    kind : str
        A name of `DOCUMENTS`.
    document : mapping
        What KIND.json of its folder holds.
    title : str, optional
        Left out, what was run.
    """
    from accelsim.show.report.documents import document_page
    from accelsim.show.report.page import html

    return html(document_page(kind, document, title))


DOCUMENTS = ("tradeoff", "serve", "study", "tune", "attention")
"""Kinds of documents that have a page beside runs, comparisons and sweeps; the name of the file that holds one."""

__all__ = ["DOCUMENTS", "document_report", "comparison_report", "run_report", "sweep_report"]

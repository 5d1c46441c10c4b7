"""From what the steps of a run leave to what is kept of it: summary, tables, intervals, timeline."""

from accelsim.tabulate.result import max_rel_error, output_error, pruned_ratios, summarise, tabulate, work_done

__all__ = ["max_rel_error", "output_error", "pruned_ratios", "summarise", "tabulate", "work_done"]

"""What runs leave behind: results, comparisons, their tables and their folders."""

from accelsim.results.comparison import Comparison
from accelsim.results.result import Result

__all__ = ["Comparison", "Result"]

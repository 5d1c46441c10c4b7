"""Attention accelerators side by side: the same Q, K and V through each, what comes out and what it takes."""

from accelsim.explore.attention.compare import compare_attention
from accelsim.explore.attention.comparison import AttentionComparison, UnitResult

__all__ = ["AttentionComparison", "UnitResult", "compare_attention"]

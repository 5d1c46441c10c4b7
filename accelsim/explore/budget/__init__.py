"""What pruning may cost in answers: settings within a budget of accuracy, and accuracy against time and energy."""

from accelsim.explore.budget.calibrate import Calibrated, calibrate
from accelsim.explore.budget.tradeoff import TradeOff, trade_off

__all__ = ["Calibrated", "TradeOff", "calibrate", "trade_off"]

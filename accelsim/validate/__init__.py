"""Validation: predictions beside measurements of real GPUs, and how far they are apart."""

from accelsim.validate.predict import Defaults, Prediction, predict
from accelsim.validate.report import Validation
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import validate

__all__ = ["Defaults", "MeasuredRow", "Prediction", "Validation", "predict", "read_rows", "validate"]

"""What dynamic pruning costs in answers: whole forward passes whose attention leaves something out, and why it did."""

from accelsim.explore.accuracy.forward import AttentionMethod, ForwardPass, StudyModel, load_model, run_model
from accelsim.explore.accuracy.methods import BLOCK_METHODS, HEAD_METHODS, METHODS
from accelsim.explore.accuracy.study import study
from accelsim.explore.accuracy.study_table import Study
from accelsim.explore.accuracy.watch import Watched, watch

__all__ = [
    "BLOCK_METHODS",
    "HEAD_METHODS",
    "METHODS",
    "AttentionMethod",
    "ForwardPass",
    "Study",
    "StudyModel",
    "Watched",
    "load_model",
    "run_model",
    "study",
    "watch",
]

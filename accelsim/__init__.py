"""accelsim: what sparse transformer inference computes, how long it takes and what it costs, from one run.

>>> import accelsim
>>> result = accelsim.run("v100_pcie", "gemm_1024", values=False)
>>> result.summary["macs"]
1073741824

Names are imported when they are first used, so that ``accelsim --help`` need not wait for Numba and pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.config.loader import load_config, load_hardware, load_workload
    from accelsim.config.scheme import RunConfig
    from accelsim.config.trace import Sampling
    from accelsim.errors import UserError
    from accelsim.explore.breakeven import break_even
    from accelsim.explore.sweep import run_sweep
    from accelsim.pipeline import compare, run, run_config
    from accelsim.results import Comparison, Result

_HOME = {
    "run": "accelsim.pipeline",
    "run_config": "accelsim.pipeline",
    "compare": "accelsim.pipeline",
    "Result": "accelsim.results",
    "Comparison": "accelsim.results",
    "RunConfig": "accelsim.config.scheme",
    "Sampling": "accelsim.config.trace",
    "load_config": "accelsim.config.loader",
    "load_hardware": "accelsim.config.loader",
    "load_workload": "accelsim.config.loader",
    "break_even": "accelsim.explore.breakeven",
    "run_sweep": "accelsim.explore.sweep",
    "UserError": "accelsim.errors",
}

__all__ = [
    "Comparison",
    "Result",
    "RunConfig",
    "Sampling",
    "UserError",
    "break_even",
    "compare",
    "load_config",
    "load_hardware",
    "load_workload",
    "run",
    "run_config",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'accelsim' has no attribute {name!r}; it has {', '.join(sorted(_HOME))}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOME, *globals()])

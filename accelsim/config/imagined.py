"""Units that a machine lacks and a run imagines (``--force``)."""

from accelsim.config.scheme import RunConfig

IMAGINED = "default: imagined for this run (--force)"
"""Source of an imagined rate."""

RATE = 2.0
"""Of sparse tensor cores over dense ones, as every GPU that has them states."""

FORMATS = ("fp16", "bf16", "int8")
"""Formats in which sparse tensor cores exist somewhere for 2:4."""


def with_imagined_unit(config: RunConfig, dtype: str) -> RunConfig:
    """The config with sparse tensor cores, if it forces a scheme that needs them onto a machine without.

    Parameters
    ----------
    config : RunConfig
    dtype : str
        Operand format of the workload. Tensor cores must take it; only these can be imagined to skip pruned weights.
    """
    gpu, options = config.hardware.gpu, config.pattern_options
    needed = config.force and getattr(options, "on_sparse_tensor_core", False)
    if not needed or dtype in gpu.sparse_tensor_core or dtype not in gpu.tensor_core or dtype not in FORMATS:
        return config
    changed = gpu.model_copy(
        update={
            "sparse_tensor_core": {**gpu.sparse_tensor_core, dtype: RATE},
            "sources": {**gpu.sources, f"sparse_tensor_core.{dtype}": IMAGINED},
        }
    )
    return config.model_copy(update={"hardware": config.hardware.model_copy(update={"gpu": changed})})


def imagined_unit(config: RunConfig) -> str | None:
    """What a run imagines, in words; None when it imagines nothing."""
    gpu = config.hardware.gpu
    formats = [dtype for dtype in gpu.sparse_tensor_core if gpu.sources.get(f"sparse_tensor_core.{dtype}") == IMAGINED]
    if not formats or not getattr(config.pattern_options, "on_sparse_tensor_core", False):
        return None
    return f"sparse tensor cores for {', '.join(formats)} at twice the dense rate, which {gpu.name} does not have"

"""Layers of drawn operands, for tests of methods."""

import numpy as np

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.forward import AttentionCall
from accelsim.model.graph import Attention

EXCLUDED = Hdp(scale=2, integer_bits=5, fraction_bits=11)
EXACT = EXCLUDED.model_copy(update={"approximation": False, "exponential": "exact"})


def call_of(n: int, heads: int = 2, inputs: int = 3, head_dim: int = 4, layer: int = 0, seed: int = 0) -> AttentionCall:
    """A layer of drawn operands."""
    draw = np.random.default_rng(seed)
    query, key, value = draw.normal(size=(3, inputs * heads, n, head_dim)).astype(np.float32)
    attention = Attention("attention", batch=inputs, heads=heads, sequence=n, head_dim=head_dim)
    return AttentionCall(attention, layer, 2, np.arange(inputs), query, key, value)

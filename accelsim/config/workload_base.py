"""What workloads of every kind have, and the words of their specs."""

from typing import Annotated, Literal

from pydantic import Field

from accelsim.config.base import Spec
from accelsim.config.hardware import Dtype
from accelsim.config.options import Defaults

Size = Annotated[int, Field(gt=0, le=10_000_000)]
"""An extent of operands; the limit is far beyond what is simulated, and keeps products of extents in 64 bits."""

Metric = Literal["accuracy", "f1", "spearman"]
"""How outputs are judged: share of right classes; F1 of class 1 (mean over classes when there are more than two); rank
correlation with scores."""

Activation = Literal["gelu", "gelu_tanh", "relu", "tanh"]
"""gelu is the exact form with the error function, gelu_tanh the one with a hyperbolic tangent."""

CacheState = Literal["cold", "warm"]


class Caches(Spec):
    """What lies in L2 when a kernel starts. In a network, activations were just written and weights were not."""

    activations: CacheState = "warm"
    """The first operand."""
    weights: CacheState = "cold"
    """The second operand."""


class Operands(Spec):
    """How synthetic operands are drawn. Results name the distribution."""

    distribution: Literal["normal", "uniform"] = "normal"
    """Of activations and weights."""
    activation_scale: float = Field(default=1.0, gt=0)
    """Standard deviation (normal) or half range (uniform) of activations."""
    weight_scale: float | None = Field(default=None, gt=0)
    """Likewise of weights; left out, 1/sqrt(k), which keeps the variance of the output."""


class WorkloadBase(Spec):
    """What workloads of every kind have."""

    name: str = ""
    description: str = ""
    dtype: Dtype = "fp16"
    """Format of operands and of what kernels write."""
    caches: Caches = Caches()
    """What lies in L2 when a kernel starts."""
    operands: Operands = Operands()
    """How synthetic operands are drawn."""
    launch: Literal["graph", "stream", "sync"] = "graph"
    """Whether kernels replay from a graph, are launched one by one, or are each launched and waited for."""
    defaults: Defaults = Defaults()
    """Options that hold for this workload unless ``--set`` says otherwise."""

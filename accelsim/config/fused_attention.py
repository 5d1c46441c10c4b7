"""Fused attention kernels of a library: their tiles, by serving stack, and what their calls cost."""

from typing import Annotated

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.quantity import Time


class AttentionKernel(Spec):
    """One fused kernel: a thread block keeps a tile of queries and walks over tiles of keys and values."""

    head_dim: int = Field(gt=0)
    """Widest heads that it takes; narrower ones are padded to it."""
    tile_q: int = Field(gt=0)
    """Queries of a thread block."""
    tile_k: int = Field(gt=0)
    """Keys of one of its steps."""
    resident: int = Field(default=1, gt=0, le=32)
    """Thread blocks that an SM holds at once, by their registers and shared memory."""
    groups: int = Field(default=1, gt=0, le=16)
    """Groups of warps with queries of their own: one multiplies while another takes exponentials."""
    q_len: int | None = Field(default=None, gt=0)
    """Longest sequence of queries that it is chosen for; left out, any."""
    causal: bool | None = None
    """Whether it is for causal attention or for attention without a mask; left out, both."""


class CacheWriter(Spec):
    """Kernel before the attention that writes keys and values into a cache."""

    threads: int | None = Field(default=None, gt=0, le=1024)
    """Most threads of the thread block that each token has, one for each element; left out, thread blocks stride over
    all tokens."""
    queries: bool = False
    """Whether it rewrites queries as well (rotary embedding of a packed Q, K, V)."""


class AttentionStack(Spec):
    """Serving stack, as far as its attention is concerned."""

    launch: Time
    """From one call to the first thread block of the next, with whatever small kernels lie between."""
    efficiency: float = Field(ge=1e-3, le=1)
    """Rate of its main loops: of tensor cores over what the machine's `tensor_efficiency` gives, and of exponentials
    over that of their units."""
    kernels: Annotated[list[AttentionKernel], Field(min_length=1)]
    """The first that fits the heads best is taken."""
    cache: CacheWriter | None = None
    """What precedes the attention of a prompt (context); encoders have no cache."""
    paged: bool = False
    """Whether attention of a prompt reads keys through a table of pages: one more read that others wait for."""


class FusedAttention(Spec):
    """Fused attention of a library."""

    stacks: Annotated[dict[str, AttentionStack], Field(min_length=1)]
    """By name; notes of measured rows name theirs."""
    default: str
    """Stack that is taken where none is named."""
    exponentials: float = Field(default=16.0, gt=0)
    """Exponentials a cycle of one SM's special function units."""
    operations: float = Field(default=4.0, ge=0)
    """Instructions of softmax on CUDA cores for each score beside its exponential: maximum, scaled difference,
    sum, conversion."""

    @model_validator(mode="after")
    def _knows_its_default(self) -> "FusedAttention":
        if self.default not in self.stacks:
            raise ValueError(f"default is {self.default!r}; it must be one of {', '.join(self.stacks)}")
        return self

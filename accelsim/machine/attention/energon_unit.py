"""Spec of Energon's unit."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.base import Spec
from accelsim.config.quantity import Bytes
from accelsim.kernels.energon import MAX_CODE_BITS


class FilterRound(Spec):
    """Operands of one round of filtering."""

    query_bits: int = Field(ge=1, le=MAX_CODE_BITS)
    """Uppermost bits of Q."""
    key_bits: int = Field(ge=1, le=MAX_CODE_BITS)
    """Uppermost bits of K."""


class EnergonUnit(AttentionUnit):
    """A filtering unit and an attention unit, one behind the other, and the buffers around them."""

    algorithm: Literal["energon"]
    """What the unit computes."""
    cores: int = Field(default=1, gt=0, le=1024)
    """Pairs of filtering and attention unit, which take tiles of queries in turn."""
    rounds: list[FilterRound] = Field(min_length=1, max_length=4)
    """Of filtering, the coarsest first; bits of K grow from each to the next."""
    alpha: float = Field(ge=-1, le=1)
    """Where the thresholds of all rounds lie: from -1 (a row's smallest score) over 0 (the mean) to 1 (the largest)."""
    rounding: Literal["floor", "round"] = "floor"
    """How a round's operands are taken from 16 bits: upper bits cut off, or the nearest."""
    scaling: Literal["layer", "head"] = "head"
    """Over what the largest magnitude is taken that 16-bit operands are scaled by."""
    exponential: Literal["polynomial", "exact"] = "polynomial"
    """How the softmax unit computes it."""
    filter_keys: int = Field(gt=0, le=4096)
    """Keys that a filtering unit scores at once."""
    filter_lanes: int = Field(gt=0, le=4096)
    """Products of each of them in a cycle."""
    filter_key_bits: int = Field(gt=0, le=MAX_CODE_BITS)
    """Bits of K that a filter multiplier takes; its other input is as wide as Q in the widest round."""
    selector_scores_per_cycle: int = Field(gt=0)
    """Scores that a filtering unit compares with their threshold in each cycle."""
    attention_keys: int = Field(gt=0, le=4096)
    """Surviving keys that an attention unit works on at once, for scores and for P x V each."""
    attention_lanes: int = Field(gt=0, le=4096)
    """Products of each of them in a cycle."""
    softmax_elements_per_cycle: int = Field(gt=0)
    """Scores that the softmax unit of a core takes in each cycle."""
    tile_queries: int = Field(gt=0)
    """Most queries that a core filters before it fetches what they need."""
    filter_buffer: Bytes
    """For the bits of K that filtering reads, shared by all cores."""
    key_value_buffer: Bytes
    """For fetched rows of K and V, shared by all cores."""
    score_buffer: Bytes
    """Of each core, for scores of a tile's queries: a row being filtered and one being attended for each query."""

    @field_validator("rounds")
    @classmethod
    def _key_bits_grow(cls, rounds: list[FilterRound]) -> list[FilterRound]:
        widths = [each.key_bits for each in rounds]
        if widths != sorted(set(widths)):
            raise ValueError(f"key_bits must grow from each round to the next, not {widths}")
        return rounds

    @property
    def fresh_key_bits(self) -> tuple[int, ...]:
        """Bits of K that each round multiplies.

        A round that sees Q as the one before adds its further bits of K to that one's scores; with another width of Q
        it begins anew.
        """
        fresh = [self.rounds[0].key_bits]
        for before, this in pairwise(self.rounds):
            fresh.append(this.key_bits - (before.key_bits if this.query_bits == before.query_bits else 0))
        return tuple(fresh)

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """(query_bits, key_bits) of each round."""
        return tuple((each.query_bits, each.key_bits) for each in self.rounds)

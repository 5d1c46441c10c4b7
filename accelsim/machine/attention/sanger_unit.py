"""The spec of a Sanger unit."""

from typing import Literal, Self

from pydantic import Field, model_validator

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.quantity import Bytes


class SangerUnit(AttentionUnit):
    """A low-bit array that predicts, a module that packs, a score-stationary array that computes."""

    algorithm: Literal["sanger"]
    """What the unit computes."""
    mode: Literal["pipeline", "throughput"] = "pipeline"
    """Simulated stages, or the arithmetic of the authors' public scripts on the measured density and load balance."""
    throughput_version: Literal[1, 2] = 1
    """Which script, in mode throughput: bench_sanger.py or bench_sanger_v2.py."""
    projections: bool = False
    """Whether mode throughput includes the projections of Q, K, V and the output, as the scripts do."""
    threshold: float = Field(ge=0, le=1)
    """Predicted probability above which a pair is kept."""
    predict_bits: int = Field(default=4, ge=2, le=8)
    """Bits of Q and K in the prediction."""
    normalise: Literal["none", "inner_product"] = "inner_product"
    """Whether rows of Q and K are brought to length 1 before they are quantised, and scores rescaled after."""
    exponential: Literal["exact", "table"] = "table"
    """Of prediction and softmax; "table" is the unit's shift, addition and table of 64 entries."""
    pe_rows: int = Field(gt=0, le=4096)
    """Rows of the main array; each computes one sub-row at a time."""
    row_pes: int = Field(gt=0, le=4096)
    """Processing elements of a row: kept pairs of a sub-row."""
    ports: int = Field(gt=0, le=4096)
    """Keys that stream past the array together; each element of a row picks one of them."""
    packing: Literal["sub_rows", "columns"] = "sub_rows"
    """Vectors of `ports` keys split into sub-rows, those of a group of queries packed onto the rows; or windows of
    columns common to `pe_rows` queries, each of which ends when the first query has `row_pes` pairs."""
    pack_queries: int = Field(default=64, gt=0, le=65536)
    """Queries of a group, whose sub-rows are packed together."""
    predict_rows: int = Field(gt=0, le=4096)
    """Rows of the low-bit array: queries; also those that the pack module takes side by side."""
    predict_columns: int = Field(gt=0, le=4096)
    """Its columns: keys."""
    skew_cycles: int = Field(ge=0, le=65536)
    """From an operand's entry to its arrival at the array's last row, once for the scores and once for P x V."""
    exponential_cycles: int = Field(ge=0, le=65536)
    """Exponentials of all elements of the main array, between its scores and its P x V."""
    outputs_per_cycle: int = Field(gt=0)
    """Sums that are divided by their row's in each cycle."""
    operand_buffer: Bytes
    """For Q, K and V of a head, and of the next one while there is room."""
    prediction_buffer: Bytes
    """For predicted exponentials of `predict_rows` queries that wait for their row's sum, of the next, and for the
    masks of two groups."""
    integer_bits: int = Field(default=4, ge=1, le=15)
    """Bits before the binary point at full width, sign included."""
    fraction_bits: int = Field(default=12, ge=0, le=15)
    """Bits after it; 16 in all at most."""

    @property
    def row_bits(self) -> int:
        """Bits of a number of Q, K, V and the output."""
        return self.integer_bits + self.fraction_bits

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.row_bits > 16:
            raise ValueError(f"integer_bits + fraction_bits is {self.row_bits}; allowed: at most 16")
        if self.packing == "columns" and self.pack_queries != self.pe_rows:
            raise ValueError(
                f"packing columns takes as many queries as the array has rows: pack_queries must be {self.pe_rows}, "
                f"not {self.pack_queries}"
            )
        return self

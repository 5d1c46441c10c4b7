"""Where a run's time went, how near it is to the machine's roof, and why it gains less than its saved work suggests."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from accelsim.results.losses import Waterfall, waterfall
from accelsim.results.result import Result
from accelsim.results.roofline import Position, kernel_positions, run_position
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.stack import MEANINGS, PS_PER_US, Exposed, exposed, latency_ps, stack_ps
from accelsim.results.store import json_text
from accelsim.results.tables import plain, records

_DENSE = ("dense", "dense_on_unit")


@dataclass(frozen=True)
class Explanation:
    """What one result says of its time."""

    result: Result
    baseline: Result | None = None
    """The dense run of the same machine and workload, which losses refer to."""

    @cached_property
    def rows(self) -> list[Exposed]:
        """What each kernel takes of the latency."""
        return exposed(self.result)

    @cached_property
    def stack(self) -> dict[str, int]:
        """Picoseconds by cause, which add up to the latency."""
        return stack_ps(self.rows)

    @cached_property
    def position(self) -> Position | None:
        """Where the run stands below the GPU's roof."""
        return run_position(self.result)

    @cached_property
    def losses(self) -> Waterfall | None:
        """From saved work to saved time; None without a baseline.

        Raises
        ------
        ResultError
            As for `accelsim.results.losses.waterfall`.
        """
        return None if self.baseline is None else waterfall(self.baseline, self.result)

    def stack_rows(self) -> list[dict[str, object]]:
        """`cause`, `meaning`, `time_ps`, `time_us`, `share_percent` of the latency, for each cause that took time."""
        whole = latency_ps(self.result)
        return [
            {
                "cause": cause,
                "meaning": MEANINGS.get(cause, "a cause of the attention unit"),
                "time_ps": time,
                "time_us": time / PS_PER_US,
                "share_percent": 100 * time / whole if whole else 0.0,
            }
            for cause, time in self.stack.items()
            if time
        ]

    def kernel_rows(self) -> list[dict[str, object]]:
        """For each kernel, transfer or attention what it takes of the latency by cause, and where it stands below the
        roof (`bound`, `attained_percent`; None where that is unknown); the longest first."""
        whole = latency_ps(self.result)
        placed = kernel_positions(self.result)
        found = []
        for row in sorted(self.rows, key=lambda row: -row.time_ps):
            causes = {cause: time for cause, time in stack_ps([row]).items() if time}
            at = placed.get(row.name)
            found.append(
                {
                    "name": row.name,
                    "operation": row.operation,
                    "device": row.device,
                    "part": row.part,
                    "time_us": row.time_ps / PS_PER_US,
                    "share_percent": 100 * row.time_ps / whole if whole else 0.0,
                    "largest_cause": max(causes, key=lambda cause: causes[cause]) if causes else None,
                    "causes_us": {cause: time / PS_PER_US for cause, time in causes.items()},
                    "bound": None if at is None else at.bound,
                    "attained_percent": None if at is None else at.attained_percent,
                    "intensity_flop_per_byte": None if at is None else at.intensity_flop_per_byte,
                }
            )
        return found

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        names = ("scheme", "hardware", "workload", "engine", "latency_us", "macs", "effectual_macs")
        return {
            **{name: self.result.summary[name] for name in names},
            "stack": self.stack_rows(),
            "kernels": self.kernel_rows(),
            "units": records(self.result.units),
            "roofline": None if self.position is None else self.position.document(),
            "losses": None if self.losses is None else self.losses.document(),
        }


def explain(results: Sequence[Result], baseline: Result | None = None) -> list[Explanation]:
    """Explanations of results, each against the dense one.

    Parameters
    ----------
    results : sequence of Result
    baseline : Result, optional
        Dense run that losses refer to; the result of scheme ``dense`` among `results` when left out. Neither it nor
        another dense result has losses, since it saves nothing.
    """
    if baseline is None:
        baseline = next((result for result in results if result.scheme == _DENSE[0]), None)
    return [
        Explanation(result, None if result is baseline or result.scheme == _DENSE[0] else baseline)
        for result in results
    ]


def explanations_text(explanations: Sequence[Explanation], **more: object) -> str:
    """The JSON document of `accelsim explain` (`accelsim.results.explain_schema.EXPLAIN_SCHEMA`); `more` joins it."""
    document = {"schema_version": SCHEMA_VERSION, "results": [one.document() for one in explanations], **more}
    return json_text(plain(document))  # type: ignore[arg-type]

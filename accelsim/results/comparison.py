"""Several schemes on one machine and workload, measured against the dense one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.results.intervals import compared
from accelsim.results.metrics import agreement
from accelsim.results.parts import attention_share, defaults, ratio
from accelsim.results.result import Result
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, write_folder
from accelsim.results.tables import csv_text

_ALIKE = 0.02
"""Schemes whose shares of pruned weights differ by no more are compared without a remark."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of several schemes.

    Raises
    ------
    ValueError
        When there is no result, a scheme stands twice, or machines or workloads differ.
    """

    results: tuple[Result, ...]
    """In the order asked for."""
    baseline: Result
    """The dense run that speed-ups refer to; it need not be among `results`."""

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("a comparison needs at least one result")
        schemes = [result.scheme for result in self.results]
        if len(set(schemes)) < len(schemes):
            raise ValueError(f"a scheme stands twice among {', '.join(schemes)}")
        for key in ("hardware", "workload"):
            found = sorted({str(result.summary[key]) for result in (*self.results, self.baseline)})
            if len(found) > 1:
                raise ValueError(f"a comparison is of one {key}, not of {', '.join(found)}")

    def __getitem__(self, scheme: str) -> Result:
        """The result of `scheme`; KeyError names those that there are."""
        for result in self.results:
            if result.scheme == scheme:
                return result
        raise KeyError(f"{scheme!r}; compared are {', '.join(result.scheme for result in self.results)}")

    def ratios(self, result: Result) -> dict[str, float | None]:
        """`speedup` and `attention_speedup` over the dense run, and `energy_ratio`: its energy over the dense run's.

        None where attention has no time of its own.
        """
        base = self.baseline
        return {
            "speedup": ratio(base.value("latency_us"), result.value("latency_us")),
            "attention_speedup": ratio(base.value("attention_latency_us"), result.value("attention_latency_us")),
            "energy_ratio": ratio(result.value("energy_uj"), base.value("energy_uj")),
        }

    def interval(self, result: Result) -> dict[str, object]:
        """`speedup_low` and `speedup_high`, between which a measured speed-up over the dense run is expected, and
        `verdict`: faster, slower, or undecided when the interval holds 1. None where no error was measured."""
        return compared(self.baseline, result)

    def agreement(self, result: Result) -> dict[str, float | None]:
        """How alike the outputs of a run and the dense one are (`accelsim.results.metrics.agreement`).

        None without values, and where outputs are not one row for each of several items; `top1_to_dense` is of
        classifiers alone.
        """
        items = result.summary["items"]
        one_row_each = result.output is not None and result.output.ndim == 2 and len(result.output) == items != 1
        found = agreement(result.output if one_row_each else None, self.baseline.output)
        config = result.provenance.get("config")
        workload = config.get("workload") if isinstance(config, dict) else None
        if not isinstance(workload, dict) or not workload.get("classes"):
            found["top1_to_dense"] = None
        return found

    def to_frame(self) -> pd.DataFrame:
        """A row for each scheme: the summary's keys and those of `ratios`, `interval` and `agreement`."""
        rows = [{**result.to_frame().iloc[0].to_dict(), **self._beside(result)} for result in self.results]
        return pd.DataFrame(rows)

    def _beside(self, result: Result) -> dict[str, object]:
        return {**self.ratios(result), **self.interval(result), **self.agreement(result)}

    def notes(self) -> list[str]:
        """What a reader of the table should know, one sentence a line."""
        base = self.baseline
        notes = [f"Speed-ups and energy ratios refer to {base.scheme} on the same machine."]
        share = attention_share(base)
        if share:
            notes.append(_bound(share, base))
        notes += self._interval_notes() + self._pattern_notes() + self._guard_notes()
        notes += [f"Operands: {text}." for text in dict.fromkeys(str(r.summary["operands"]) for r in self.results)]
        found = sorted({path for result in self.results for path in defaults(result)})
        if found:
            notes.append(f"Defaults, not measurements or published figures ({len(found)}): {', '.join(found)}.")
        return notes

    def _interval_notes(self) -> list[str]:
        """What intervals rest on, what they leave out, and which speed-ups have none although latencies have."""
        results = list({result.scheme: result for result in (self.baseline, *self.results)}.values())
        notes = [f"Interval: {text}." for text in dict.fromkeys(r.summary["interval_basis"] for r in results) if text]
        known = [result for result in results if result.summary["latency_low_us"] is not None]
        exact = [f"{r.scheme}: {r.summary['interval_left_out']}" for r in known if r.summary["interval_left_out"]]
        if exact:
            notes.append(f"Taken as exact, since not measured: {'; '.join(exact)}.")
        bare = [r.scheme for r in known if r.scheme != self.baseline.scheme and self.interval(r)["verdict"] is None]
        if bare:
            notes.append(
                f"No interval of the speed-up of {', '.join(bare)}: most of what differs from {self.baseline.scheme} "
                "has no measured errors."
            )
        return notes

    def _guard_notes(self) -> list[str]:
        """How often HDP's guard spoke, and what it costs."""
        notes = []
        for result in self.results:
            kind = result.summary.get("guard")
            if kind is not None:
                share = result.value("guarded_heads" if kind == "head" else "guarded_inputs")
                what = "heads keep everything" if kind == "head" else "inputs run again unpruned"
                notes.append(
                    f"{result.scheme}: by its guard {100 * share:.3g} % of {what}, which takes "
                    f"{result.value('guard_latency_us'):.4g} us and {result.value('guard_energy_uj'):.4g} uJ."
                )
        return notes

    def _pattern_notes(self) -> list[str]:
        """What was imagined, and how much each scheme pruned where that differs."""
        found = {result.scheme: result.summary.get("imagined") for result in self.results}
        notes = [f"Imagined for {scheme}: {text}." for scheme, text in found.items() if text]
        shares = {result.scheme: result.summary["weight_sparsity"] for result in self.results}
        pruned = {scheme: float(str(share)) for scheme, share in shares.items() if share}
        if pruned and max(pruned.values()) - min(pruned.values()) > _ALIKE:
            each = ", ".join(f"{scheme} {100 * share:.3g} %" for scheme, share in pruned.items())
            notes.append(f"Weights pruned, which is not alike: {each}.")
        return notes

    def document(self) -> dict[str, object]:
        """The comparison as a JSON document (`accelsim.results.schema.COMPARE_SCHEMA`)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hardware": self.baseline.summary["hardware"],
            "workload": self.baseline.summary["workload"],
            "baseline": self.baseline.scheme,
            "schemes": [{**result.summary, **self._beside(result)} for result in self.results],
            "notes": self.notes(),
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def save(self, folder: str | Path, figures: Mapping[str, bytes] | None = None) -> Path:
        """Write comparison.json, comparison.csv, and each result in a folder of its own.

        Parameters
        ----------
        folder : str or Path
            Made if need be; an earlier comparison there is replaced.
        figures : mapping of str to bytes, optional
            Files to stand beside them. `accelsim.show.save_comparison` draws them, since results do not know figures.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        files = {"comparison.json": self.to_json().encode(), "comparison.csv": csv_text(self.to_frame()).encode()}
        for result in self.results:
            files |= {f"{result.scheme}/{name}": content for name, content in result.files().items()}
        write_folder(Path(folder), files | dict(figures or {}))
        return Path(folder)


def _bound(share: float, base: Result) -> str:
    text = f"Attention is {_percent(share)} of the dense MACs"
    part = ratio(base.value("attention_latency_us"), base.value("latency_us"))
    if part is None:
        return f"{text}."
    if part >= 0.999:
        return f"{text} and all of the {base.scheme} run's time."
    most = f"at most {1 / (1 - part):.3g}x on the whole"
    return f"{text} and {_percent(part)} of the {base.scheme} run's time: pruning attention alone can gain {most}."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"

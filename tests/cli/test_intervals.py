"""Tables of results whose errors are known: intervals, and what is undecided within them."""

from pathlib import Path
from typing import Any

import pytest

from accelsim.cli import main
from accelsim.results import Comparison, Result
from tests.results.examples import example


def with_interval(scheme: str, ratio: float) -> Result:
    """A made-up result whose kernels are off by at most `ratio` either way."""
    plain = example(scheme)
    duration = plain.kernels["end_us"] - plain.kernels["begin_us"]
    kernels = plain.kernels.assign(duration_us=duration, low_us=duration / ratio, high_us=duration * ratio)
    latency = plain.value("latency_us")
    ends = {"latency_low_us": latency / ratio, "latency_high_us": latency * ratio, "interval_basis": "made up"}
    return Result({**plain.summary, **ends}, kernels, plain.units, plain.account, plain.energy)


@pytest.mark.parametrize(("ratio", "shown"), [(1.05, "  1.59x (1."), (3.0, "  undecided, 1.59x (0.")])
def test_tables_show_intervals_and_what_is_undecided(
    ratio: float, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from accelsim.cli import report

    base = with_interval("dense", ratio)
    report.compare(Comparison((base, with_interval("tile_wise", ratio)), base))
    printed = capsys.readouterr().out
    assert shown in printed
    assert "80 % interval (us)" in printed
    assert f"{59 / ratio:.2f} to {59 * ratio:#.4g}" in printed
    report.run(base)
    printed = capsys.readouterr().out
    assert "80 % interval (us)" in printed
    assert "Interval: made up." in printed


def test_tables_without_intervals_have_no_column_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    from accelsim.cli import report

    report.compare(Comparison((example("dense"), example("hdp")), example("dense")))
    report.run(example("dense"))
    assert "interval" not in capsys.readouterr().out


def test_a_sweep_shows_the_sparsity_that_was_reached_beside_the_one_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["kind: sweep", "name: asked", "hardware: v100_pcie", "workload: gemm_1024", "values: false"]
    lines += ["engine: estimate", "grid:", "  scheme: [{}]", "  sparsity: [0.9]"]
    (tmp_path / "sweep.yaml").write_text("\n".join(lines).format("dense, vector_wise, tile_wise"))
    assert main(["sweep", str(tmp_path / "sweep.yaml")]) == 0
    rows = {line.split()[0]: line.split()[1:4] for line in capsys.readouterr().out.splitlines()[3:] if line}
    assert rows["dense"] == ["0.9", "0", "%"]
    assert rows["vector_wise"] == ["0.9", "93.8", "%"]
    assert rows["tile_wise"] == ["0.9", "90", "%"]
    (tmp_path / "sweep.yaml").write_text("\n".join(lines[:-2]) + "\n  workload.m: [64]\n")
    assert main(["sweep", str(tmp_path / "sweep.yaml")]) == 0
    assert "pruned" not in capsys.readouterr().out


@pytest.mark.parametrize(("known", "told"), [(True, 1), (False, 0)])
def test_a_sweep_tells_what_is_undecided(known: bool, told: int, capsys: pytest.CaptureFixture[str]) -> None:
    from accelsim.cli import sweep
    from accelsim.explore import SweepRun

    def record(tile: int, latency: float) -> dict[str, Any]:
        ends = {"latency_low_us": 0.9 * latency, "latency_high_us": 1.1 * latency} if known else {}
        return {"tile": tile, "error": None, "latency_us": latency, "cycles": 1, "energy_uj": 1.0, **ends}

    sweep._report(SweepRun("tiles", ("tile",), (record(64, 20.0), record(128, 10.0), record(256, 10.5))))
    printed = capsys.readouterr().out
    assert printed.count("Undecided, since within the errors of both: 1 of 3 points and the fastest.") == told
    assert printed.count("80 % interval (us)") == told
    assert printed.count("9.450 to 11.55") == told

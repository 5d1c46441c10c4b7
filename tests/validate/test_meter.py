"""What a slow power meter shows of a kernel in the midst of a sweep."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_energy, load_hardware
from accelsim.config.meter import Meter
from accelsim.validate import predict
from accelsim.validate.built_kernels import compiled_rows
from accelsim.validate.meter import BEFORE, Replayed, reading, shapes_before
from accelsim.validate.notes import Conditions
from accelsim.validate.rows import MeasuredRow

IDLE = 100.0


@pytest.fixture(scope="module")
def h200() -> Gpu:
    return load_hardware("h200_sxm").gpu


def meter(**keys: object) -> Meter:
    given: dict[str, object] = {
        "dataset": "public", "average": "1 s", "sample": "100 ms", "copies": 6, "warm_ups": 6, "fewest": 6,
        "replays": 3000, "run": "1 s", "gap": "10 ms", "host": "80 us",
        "sweep_rows": [64, 33, 32, 16, 1], "sweep_sizes": [4096, 1024, 64],
    }  # fmt: skip
    return Meter.model_validate(given | keys)


def row(m: int, n: int, k: int, dataset: str = "public") -> MeasuredRow:
    return MeasuredRow(1, 2, "H200-SXM", "bf16", "gemm", 1, m, n, k, 0.0, None, 300.0, Conditions(), dataset=dataset)


def test_the_sweep_falls_and_leaves_out_the_largest_weight() -> None:
    one = meter()
    assert shapes_before((64, 1024, 4096), one) == [(64, 4096, 1024), (64, 4096, 64)]
    assert shapes_before((33, 4096, 1024), one)[-2:] == [(64, 64, 1024), (64, 64, 64)]
    assert shapes_before((64, 4096, 1024), one) == []
    assert len(shapes_before((1, 64, 64), one)) == BEFORE
    assert shapes_before((63, 64, 64), one) == []
    assert shapes_before((64, 64, 65), one) == []


def alone(seconds: float, watt: float, **keys: object) -> float:
    """Reading of the first product of a sweep."""
    shape = (64, 4096, 1024)
    return reading(shape, {shape: Replayed(seconds, watt)}, IDLE, meter(**keys), 132)


def test_a_run_shorter_than_a_sample_is_read_as_it_begins() -> None:
    # 18000 products of 2 us last 36 ms: one sample, after a warm-up of 72 us.
    assert alone(2e-6, 500) == pytest.approx(IDLE + 400 * 36 * 2e-6)


def test_a_meter_of_a_second_shows_half_of_a_run_of_a_second() -> None:
    # 6 x 20000 products of 50 us would last longer; samples at 0, 0.1, ... 0.9 s of a ramp over one second.
    found = alone(1 / 18000, 500, sample="10 ms")
    assert found == pytest.approx(IDLE + 400 * (0.495 + 36 / 18000), rel=1e-3)


def test_a_quick_meter_shows_what_a_long_run_draws() -> None:
    assert alone(1e-3, 500, average="1 ms") == pytest.approx(500)
    assert alone(1.0, 500) == pytest.approx(500)  # the warm-up alone lasts longer than the meter remembers


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(*(st.sampled_from(sizes) for sizes in ([64, 33, 32, 16, 1], [4096, 1024, 64], [1024, 64]))),
    seconds=st.lists(st.floats(1e-6, 1e-2), min_size=13, max_size=13),
    watts=st.lists(st.floats(IDLE, 700), min_size=13, max_size=13),
)
def test_a_reading_lies_between_idle_and_the_most_that_ran(
    shape: tuple[int, int, int], seconds: list[float], watts: list[float]
) -> None:
    one = meter()
    shapes = [*shapes_before(shape, one), shape]
    runs = {each: Replayed(*run) for each, run in zip(shapes, zip(seconds, watts, strict=True), strict=False)}
    found = reading(shape, runs, IDLE, one, 132)
    assert IDLE * (1 - 1e-9) <= found <= max(run.watt for run in runs.values()) * (1 + 1e-9)
    hotter = {each: replace(run, watt=run.watt + 10) for each, run in runs.items()}
    assert found <= reading(shape, hotter, IDLE, one, 132) <= found + 10 + 1e-9


def test_a_kernel_that_had_to_be_compiled_lets_the_board_cool() -> None:
    # What comes just before (15, 1024, 64) is (15, 1024, 128): its kernel is there already if 16 rows needed it too.
    def shown(rows: list[int]) -> float:
        one, shape = meter(sweep_rows=rows, sweep_sizes=[1024, 512, 256, 128, 64]), (15, 1024, 64)
        runs = {each: Replayed(1e-5, 600.0) for each in [*shapes_before(shape, one), shape]}
        return reading(shape, runs, IDLE, one, 132)

    assert 15 not in compiled_rows((16, 15), 1024, 128, 132)
    assert 15 in compiled_rows((17, 15), 1024, 128, 132)
    assert shown([17, 15]) < 0.8 * shown([16, 15])


def test_kernels_are_compiled_where_tiles_change() -> None:
    rows = (128, 113, 112, 97, 96, 81, 80, 65, 64, 49, 48, 33, 32, 17, 16, 15, 1)
    assert compiled_rows(rows, 64, 4096, 132) == frozenset()  # too narrow for blocks of scales
    found = compiled_rows(rows, 4096, 4096, 132)
    assert rows[0] in found  # the first needs one
    assert {17, 16} <= found  # below 32 rows another library multiplies, in tiles of 16
    assert not {15, 1, 112, 80, 48} & found  # as many tiles as the value before
    assert compiled_rows(rows[1:], 4096, 4096, 132) - found <= {113}


def test_only_rows_of_the_meters_table_are_read_through_it(h200: Gpu) -> None:
    table = load_energy("gpu_4nm_h200")
    assert table.meter is not None
    shape = (64, 1024, 1024)
    told, other, outside = predict(
        [row(*shape, dataset="aiconfigurator"), row(*shape), row(65, 1000, 1024, dataset="aiconfigurator")], h200
    )
    settled, outside_settled = predict(
        [row(*shape), row(65, 1000, 1024)], h200, energy=table.model_copy(update={"meter": None})
    )
    assert other.power_w == settled.power_w
    assert outside.power_w == outside_settled.power_w
    assert told.power_w < settled.power_w
    assert told.latency_us == settled.latency_us


def test_a_sweep_must_fall() -> None:
    with pytest.raises(ValidationError, match="sweep_rows must fall from the largest to the smallest"):
        meter(sweep_rows=[1, 2])
    with pytest.raises(ValidationError, match="average"):
        meter(average="0 s")

"""The closed form agrees with the events on dense GEMMs, and behaves as a cost should."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from accelsim.estimate.gemm import Candidates, GemmMachine, Product, estimate_gemm
from accelsim.estimate.program import estimate_program
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, DeviceProgram
from tests.machine.gemm.dense import A100, V100, Machine, Tile, dense_program

TILES = [
    Tile(128, 128, 32, 4, 128),
    Tile(256, 128, 32, 3, 256),
    Tile(128, 64, 32, 4, 128),
    Tile(64, 64, 32, 5, 128),
    Tile(64, 64, 64, 3, 128),
]


def occupancy(machine: Machine, tile: Tile) -> int:
    return min(
        machine.max_blocks_per_sm,
        machine.shared_bytes_per_sm // tile.shared_bytes,
        machine.registers_per_sm // (tile.threads * 128),
        machine.threads_per_sm // tile.threads,
    )


def numbers(machine: Machine) -> GemmMachine:
    return GemmMachine(
        machine.sm_count, machine.port, machine.l2_rate, machine.load_latency,
        machine.dram_rate, machine.miss_latency, machine.l2_capacity, machine.block_setup, machine.epilogue_rate,
        machine.shared_rate, launch=0, reduce_gap=1900,
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    m: int
    n: int
    k: int
    machine: Machine
    tile: Tile
    warm: str
    split_k: int = 1

    def program(self) -> DeviceProgram:
        """Few events for large shapes: chunks as long as the window."""
        steps = np.prod(
            [-(-self.m // self.tile.tile_m), -(-self.n // self.tile.tile_n), -(-self.k // self.tile.tile_k)]
        )
        return dense_program(
            self.m, self.n, self.k, self.machine, self.tile, warm=self.warm, split_k=self.split_k,
            steps_per_chunk=1 if steps < 200_000 else self.tile.stages - 1,
        )  # fmt: skip

    def estimate(self) -> float:
        tile, machine = self.tile, self.machine
        return float(
            estimate_gemm(
                Product(self.m, self.n, self.k, 1, 2, 2, "b" in self.warm, "a" in self.warm),
                Candidates(
                    tile.tile_m, tile.tile_n, tile.tile_k, tile.stages, occupancy(machine, tile), self.split_k,
                    machine.macs_per_cycle, (tile.tile_m + tile.tile_n) * tile.tile_k * 2,
                ),
                numbers(machine),
                strip=1,
            ).cycles
        )  # fmt: skip


def cases(count: int, seed: int, splits: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    return [
        Case(
            int(2 ** rng.uniform(0, 13)),
            int(2 ** rng.uniform(6, 14)),
            int(2 ** rng.uniform(6, 14)),
            (A100, V100)[index % 2],
            TILES[rng.integers(len(TILES))],
            ("", "a", "b", "ab")[rng.integers(4)],
            int(rng.integers(1, splits + 1)),
        )
        for index in range(count)
    ]


def test_agrees_with_the_events_over_shapes_tiles_and_machines() -> None:
    """Bounds of the project, 5 % in the median and 15 % at the 90th percentile, over 100 shapes."""
    errors = []
    for case in cases(100, 0, 1):
        errors.append(abs(case.estimate() * TICKS_PER_CYCLE / run_events(case.program()).end - 1))
    assert np.median(errors) <= 0.05
    assert np.quantile(errors, 0.9) <= 0.15


def test_programs_agree_with_the_events_too() -> None:
    """Likewise of any program, split-K and its second kernel included."""
    errors = []
    for case in cases(60, 1, 3):
        program = case.program()
        errors.append(abs(estimate_program(program).end / run_events(program).end - 1))
    assert np.median(errors) <= 0.05
    assert np.quantile(errors, 0.9) <= 0.15


PRODUCT = Product(512, 4096, 4096, 1, 2, 2, weights_warm=False, activations_warm=True)
KERNEL = Candidates(128, 128, 32, 4, 2, 1, A100.macs_per_cycle, 4 * 128 * 32 * 2)


def estimate(machine: GemmMachine | None = None, **changes: object) -> np.ndarray:
    """Cycles of PRODUCT under KERNEL, with changes to either."""
    of_product = {name: value for name, value in changes.items() if hasattr(PRODUCT, name)}
    of_kernel = {name: value for name, value in changes.items() if name not in of_product}
    product = replace(PRODUCT, **of_product)  # type: ignore[arg-type]
    kernel = replace(KERNEL, **of_kernel)  # type: ignore[arg-type]
    return estimate_gemm(product, kernel, machine or numbers(A100)).cycles


def test_candidates_are_estimated_together() -> None:
    tiles = {"tile_m": np.array([64, 128, 256]), "tile_n": np.array([64, 128, 128]), "occupancy": np.array([4, 2, 1])}
    together = estimate(**tiles)
    alone = [estimate(**{name: values[i] for name, values in tiles.items()}) for i in range(3)]
    np.testing.assert_array_equal(together, alone)


def test_candidates_may_have_rates_of_their_own() -> None:
    rates = np.array([A100.macs_per_cycle, A100.macs_per_cycle / 64])
    own, slow = estimate(macs_per_cycle=rates)
    assert own == estimate()
    assert slow == estimate(macs_per_cycle=rates[1]) > own


def test_products_may_begin_with_other_operands_in_l2() -> None:
    states = np.array([False, True])
    together = estimate(m=16, weights_warm=states, activations_warm=states[::-1])
    alone = [estimate(m=16, weights_warm=bool(b), activations_warm=not b) for b in states]
    np.testing.assert_array_equal(together, alone)


def test_a_cluster_spares_l2_where_another_tile_needs_the_same() -> None:
    slow_l2 = replace(numbers(A100), l2_rate=500.0)
    assert estimate(slow_l2, multicast=2) < estimate(slow_l2)
    assert estimate(slow_l2, multicast=2, m=128, n=128) == estimate(slow_l2, m=128, n=128)


def test_a_last_wave_takes_its_share_where_waves_need_not_be_whole() -> None:
    parts = replace(numbers(A100), whole_waves=False)
    whole_m = 108 * 2 * 128
    assert estimate(parts, m=whole_m + 128, n=128) < estimate(m=whole_m + 128, n=128)
    assert estimate(parts, m=whole_m, n=128) == pytest.approx(estimate(m=whole_m, n=128))


def test_few_thread_blocks_of_many_rows_start_later() -> None:
    late = replace(numbers(A100), few_blocks=4, few_rows=16, few_delay=1000.0)
    for m, n, extra in ((64, 512, 1000), (16, 512, 0), (640, 512, 0)):
        assert estimate(late, m=m, n=n) - estimate(m=m, n=n) == pytest.approx(extra)


@pytest.mark.parametrize("size", ["m", "n", "k", "batch"])
def test_more_work_takes_no_less_time(size: str) -> None:
    for start in (1, 200, 5000):
        assert estimate(**{size: 2 * start}) >= estimate(**{size: start})


def test_never_below_what_a_unit_alone_needs() -> None:
    sizes = 2 ** np.arange(5, 15)
    machine = numbers(A100)
    time = estimate(m=sizes)
    assert (time >= sizes * 4096 * 4096 / (A100.macs_per_cycle * machine.sm_count)).all()
    assert (time >= 4096 * 4096 * 2 / machine.dram_rate).all()


def test_warm_operands_and_split_k_help_a_narrow_product() -> None:
    assert estimate(m=16, weights_warm=True) < estimate(m=16)
    assert estimate(m=16, n=1024, k=16384, split_k=6) < estimate(m=16, n=1024, k=16384)


def test_launch_and_reduction_gap_are_added() -> None:
    slower = GemmMachine(**(numbers(A100).__dict__ | {"launch": 500, "reduce_gap": 2900}))
    assert estimate(machine=slower) - estimate() == pytest.approx(500)
    assert estimate(machine=slower, split_k=2) - estimate(split_k=2) == pytest.approx(1500)

"""GPU and HDP unit against the GPU alone: what the table says is what runs give."""

import pytest

import accelsim
from accelsim.config.scheme import SchemeName
from accelsim.errors import UserError
from accelsim.explore.attention.crossover import Crossovers, hdp_crossover


@pytest.fixture(scope="module")
def found() -> Crossovers:
    return hdp_crossover("a100_hdp", sequences=[64, 512], block_ratios=[0.5, 0.9])


def test_rows_are_runs_of_the_network(found: Crossovers) -> None:
    row = next(one for one in found.rows if (one.sequence, one.block_ratio) == (64, 0.9))
    length = "workload.sequence=64"

    def latency(scheme: SchemeName, *sets: str) -> float:
        result = accelsim.run(
            "a100_hdp", "bert_base_layer", scheme=scheme, sets=[length, *sets], values=False, engine="estimate"
        )
        return result.value("latency_us")

    assert row.fused_us == pytest.approx(latency("dense", "mapping.attention=fused"))
    assert row.unit_us == pytest.approx(latency("hdp", "hdp.block_ratio=0.9", "hdp.head_ratio=0.0"))


def test_a_faster_link_is_never_slower_and_the_needed_one_suffices(found: Crossovers) -> None:
    for row in found.rows:
        assert row.unlimited_us <= row.unit_us
        if row.needed_bandwidth is None:
            assert row.unlimited_us >= row.fused_us
        else:
            bandwidth = f"hardware.link.bandwidth={row.needed_bandwidth / 1e9} GB/s"
            with_it = hdp_crossover(
                "a100_hdp", sequences=[row.sequence], block_ratios=[row.block_ratio], sets=[bandwidth]
            )
            assert with_it.rows[0].beats


def test_more_pruning_is_no_slower(found: Crossovers) -> None:
    for sequence in (64, 512):
        few, many = (row for row in found.rows if row.sequence == sequence)
        assert many.unit_us <= few.unit_us
        assert many.fused_us == few.fused_us


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hardware": "a100_sxm4_80gb"}, "no attention unit"),
        ({"block_ratios": [1.0]}, "block_ratio"),
        ({"sequences": [0]}, "sequence"),
        ({"sequences": []}, "at least one"),
        ({"workload": "gemm_1024"}, "sequence"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        hdp_crossover(**({"sequences": [8], "block_ratios": [0.5]} | arguments))  # type: ignore[arg-type]

"""The first guess tells what can run, never bounds a time from above, and chooses as runs do."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_config, load_library
from accelsim.config.options import Mapping
from accelsim.config.scheme import RunConfig
from accelsim.costing import Costing
from accelsim.errors import MappingError
from accelsim.explore.sweep import evaluate_point
from accelsim.explore.sweep.points import Point
from accelsim.explore.sweep.spec import NAMES, SweepSpec
from accelsim.explore.tune.guess import ClosedForm, products
from accelsim.explore.tune.measures import beats, front, in_layers
from accelsim.explore.tune.memory import memory_bytes
from accelsim.mapping.choice import choose, choose_each
from accelsim.mapping.network import plan_network, prune_weights
from accelsim.model.build import build_network
from accelsim.model.graph import Gemm
from tests.explore.tune.cases import small

GPUS = ("v100_pcie", "a100_sxm4_80gb", "h100_sxm5")
OPTIONS = st.fixed_dictionaries(
    {
        "mapping.tile_m": st.sampled_from([16, 64, 96, 256]),
        "mapping.tile_n": st.sampled_from([8, 32, 128, 256]),
        "mapping.tile_k": st.sampled_from([16, 32, 128]),
        "mapping.stages": st.integers(2, 5),
        "mapping.split_k": st.sampled_from([1, 3, 8]),
        "mapping.raster": st.sampled_from(["along_m", "swizzle"]),
    }
)


def config_of(gpu: str, m: int, n: int, k: int, **changes: object) -> RunConfig:
    sets = [f"workload.m={m}", f"workload.n={n}", f"workload.k={k}", *(f"{a}={b}" for a, b in changes.items())]
    return load_config(gpu, "gemm_1024", sets=sets, values=False)


@settings(deadline=None, max_examples=25)
@given(
    gpu=st.sampled_from(GPUS),
    m=st.integers(1, 700),
    n=st.integers(1, 700),
    k=st.integers(1, 1500),
    options=OPTIONS,
)
def test_bounds_hold_and_what_cannot_run_is_known(
    gpu: str, m: int, n: int, k: int, options: dict[str, int | str]
) -> None:
    config = config_of(gpu, m, n, k)
    (guess,) = ClosedForm(config, build_network(config.workload)).look([options])
    sizes = {"workload.m": m, "workload.n": n, "workload.k": k}
    fields = {name: getattr(SweepSpec(kind="sweep", hardware=gpu, workload="gemm_1024", values=False), name, None)
              for name in NAMES}  # fmt: skip
    record = evaluate_point(Point(0, {**sizes, **options}, fields, "key"))
    assert (guess.error is None) == (record["error"] is None)
    if guess.error is None:
        assert guess.bound_us <= record["latency_us"] * (1 + 1e-9)  # type: ignore[operator]
        assert guess.values is not None
        assert guess.bound_us > 0
    else:
        assert guess.error == record["error"]


def test_many_choices_at_once_are_those_one_by_one() -> None:
    config = config_of("a100_sxm4_80gb", 300, 200, 4000)
    gpu, caches = config.hardware.gpu, config.workload.caches
    library = load_library(gpu.library)
    gemm = build_network(config.workload).operations[0]
    assert isinstance(gemm, Gemm)
    mappings = [
        Mapping(tile_m=m, tile_n=n, stages=stages, split_k=split, raster=raster)
        for m, n, stages, split, raster in itertools.product(
            (None, 64, 256), (None, 256), (None, 4, 16), (None, 2), ("along_n", "swizzle")
        )
    ]
    found = choose_each(gemm, gpu, library, mappings, caches)
    for mapping, choice in zip(mappings, found, strict=True):
        if isinstance(choice, MappingError):
            with pytest.raises(MappingError, match="does not fit"):
                choose(gemm, gpu, library, mapping, caches)
        else:
            assert choice == choose(gemm, gpu, library, mapping, caches)
    assert any(isinstance(choice, MappingError) for choice in found)
    assert choose_each(gemm, gpu, library, [], caches) == []


def test_closed_form_is_for_mappings_of_dense_networks() -> None:
    assert ClosedForm.of(small()) is not None
    assert ClosedForm.of(small({"hardware.gpu.clock": ["1 GHz", "1.3 GHz"]})) is None
    assert ClosedForm.of(small(scheme="tile_wise")) is None


def test_a_network_is_the_sum_of_its_products() -> None:
    config = load_config("a100_sxm4_80gb", "bert_base_layer", values=False)
    network = build_network(config.workload)
    found = products(network)
    assert sum(found.values()) == 8  # Q, K, V, two of attention, its output, and two of feed-forward
    assert sum(gemm.macs * times for gemm, times in found.items()) == network.macs
    whole = ClosedForm(config, network).look([{"mapping.tile_m": 128}])[0]
    parts = [
        ClosedForm(config, replace(network, operations=(gemm,))).look([{"mapping.tile_m": 128}])[0]
        for gemm, times in found.items()
        for _ in range(times)
    ]
    assert whole.values is not None
    assert whole.values[0] == pytest.approx(sum(part.values[0] for part in parts if part.values))
    assert whole.bound_us == pytest.approx(sum(part.bound_us for part in parts))


def _memory(config: RunConfig) -> int:
    network, costing = build_network(config.workload), Costing.of(config)
    pruned = prune_weights(network, config, None)
    return memory_bytes(plan_network(network, config, costing.library, None, None, pruned), pruned)


def test_memory_of_a_product_is_its_operands_output_and_parts() -> None:
    m, n, k = 512, 256, 2048
    operands, output = 2 * (m * k + k * n), 2 * m * n
    fixed = {"mapping.tile_m": 64, "mapping.tile_n": 64, "mapping.tile_k": 32}
    assert _memory(config_of("a100_sxm4_80gb", m, n, k, **fixed, **{"mapping.split_k": 1})) == operands + output
    parts = 4 * 4 * m * n
    assert _memory(config_of("a100_sxm4_80gb", m, n, k, **fixed, **{"mapping.split_k": 4})) == operands + output + parts


def test_memory_of_a_network_holds_weights_and_what_is_alive() -> None:
    dense, pruned = (
        load_config(
            *("a100_sxm4_80gb", "bert_base_layer"),
            **{"values": False, "scheme": scheme, "sparsity": 0.75, "sets": ["mapping.split_k=1"]},
        )
        for scheme in ("dense", "tile_wise")
    )
    weights = 2 * sum(k * n for k, n in [(768, 768)] * 4 + [(768, 3072), (3072, 768)])
    assert weights < _memory(dense) < 3 * weights
    assert 0.70 * weights < _memory(dense) - _memory(pruned) < 0.75 * weights


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20), st.integers(1, 20))
def test_layers_and_fronts_are_those_of_their_definition(points: list[tuple[int, int]], count: int) -> None:
    values = {index: (float(x), float(y)) for index, (x, y) in enumerate(points)}
    best = {own for own in values.values() if not any(beats(other, own) for other in values.values())}
    chosen = front(values)
    assert {values[key] for key in chosen} == best
    assert len(chosen) == len(best)
    layers = in_layers(values, count)
    assert len(layers) == len(set(layers)) == min(count, len(points))
    if count >= len(best):
        assert best <= {values[key] for key in layers}


def test_equal_guesses_come_after_the_first_of_them() -> None:
    values = {0: (2.0,), 1: (1.0,), 2: (1.0,), 3: (3.0,), 4: (2.0,)}
    assert in_layers(values, 4) == [1, 0, 3, 2]
    assert in_layers({}, 4) == []

"""Break-even of patterns: what is answered agrees with runs of the pipeline on both sides of it."""

import pytest

import accelsim
from accelsim.config.loader import load_hardware, load_workload
from accelsim.config.pattern_options import NM, BlockWise, TileElementWise, TileVectorWise, VectorWise
from accelsim.config.workload import AttentionWorkload, GemmWorkload, NetworkWorkload
from accelsim.errors import ConfigError, MappingError
from accelsim.explore import Search, break_even
from accelsim.explore.bench import Bench
from accelsim.explore.products import Product, ladder, products_of, workload_of
from accelsim.model.build import build_network

SHAPE = GemmWorkload(kind="gemm", name="projection", m=12800, n=768, k=768)
PRODUCT = Product(12800, 768, 768)
COARSE = Search(step=0.2, resolution=0.02)


def _speedup(machine, scheme, sparsity, engine="events"):
    options = {"values": False, "engine": engine}
    dense = accelsim.run(machine, SHAPE, **options)
    pruned = accelsim.run(machine, SHAPE, scheme=scheme, sparsity=sparsity, **options)
    return dense.value("latency_us") / pruned.value("latency_us")


@pytest.fixture(scope="module")
def found():
    return break_even(["a100_sxm4_80gb"], SHAPE, patterns=["block_wise", "n_m"], search=COARSE)


@pytest.mark.parametrize("engine", ["events", "estimate"])
@pytest.mark.parametrize(("scheme", "sparsity"), [("tile_wise", 0.6), ("n_m", None), ("tile_vector_wise", 0.6)])
def test_bench_times_as_the_pipeline_does(scheme, sparsity, engine):
    machine = load_hardware("a100_sxm4_80gb")
    timing = Bench(SHAPE).time(machine, [PRODUCT], scheme, sparsity, engine)
    result = accelsim.run(machine, SHAPE, scheme=scheme, sparsity=sparsity, values=False, engine=engine)
    assert timing.latency_us == result.value("latency_us")
    assert timing.sparsity == result.summary["weight_sparsity"]
    assert [part.low for part in timing.parts] == list(result.kernels["low_us"])


def test_answer_is_where_runs_change_sides(found):
    cell = found.cells[0]
    assert (cell.hardware, cell.product, cell.pattern, cell.status) == (
        *("a100_sxm4_80gb", "12800 x 768 x 768"),
        *("block_wise", "beats"),
    )
    assert cell.beats_from > cell.lowest
    assert _speedup("a100_sxm4_80gb", "block_wise", cell.beats_from) > 1
    assert _speedup("a100_sxm4_80gb", "block_wise", round(cell.beats_from - 0.02, 6)) <= 1
    above = [point for point in cell.points if point.engine == "events" and point.asked >= cell.beats_from]
    assert len(above) >= 2
    assert all(point.speedup.value > 1 for point in above)


def test_undecided_lies_around_the_answer_where_intervals_hold_one(found):
    cell = found.cells[0]
    low, high = cell.undecided
    assert low <= cell.beats_from <= high
    inside = [one for one in cell.points if one.engine == "events" and one.asked in (low, cell.beats_from)]
    assert inside
    assert all(point.speedup.low <= 1 <= point.speedup.high for point in inside)
    beyond = [point for point in cell.points if point.engine == "events" and point.asked >= high]
    assert beyond
    assert all(point.speedup.low > 1 for point in beyond)


def test_a_pattern_without_its_unit_is_listed_with_the_reason():
    found = break_even(["a100_sxm4_80gb", "v100_pcie"], SHAPE, patterns=["n_m"], search=COARSE)
    assert [(cell.hardware, cell.status) for cell in found.cells] == [
        ("a100_sxm4_80gb", "beats"),
        ("v100_pcie", "unavailable"),
    ]
    cell = found.cells[1]
    assert "sparse tensor cores" in cell.reason
    assert not cell.points
    assert len(found.to_frame()) == 2


def test_forced_units_are_imagined_and_said_so():
    found = break_even(["v100_pcie"], SHAPE, patterns=["n_m"], search=COARSE, force=True)
    assert found.cells[0].status in ("beats", "never")
    assert any(note.startswith("Imagined: sparse tensor cores") for note in found.notes())


def test_a_pattern_of_one_sparsity_has_one_point_for_each_engine(found):
    cell = found.cells[1]
    assert (cell.pattern, cell.lowest, cell.highest) == ("n_m", 0.5, 0.5)
    assert [(point.engine, point.asked) for point in cell.points] == [("estimate", 0.5), ("events", 0.5)]


def test_never_is_said_up_to_the_highest_sparsity():
    search = Search(engine="events", step=0.2, resolution=0.1, limit=0.6)
    found = break_even(["a100_sxm4_80gb"], SHAPE, patterns=["element_wise"], search=search)
    cell = found.cells[0]
    assert (cell.status, cell.highest, cell.beats_from, cell.undecided) == ("never", 0.6, None, None)
    assert found.confirmed_by is None
    assert {point.engine for point in cell.points} == {"events"}


def test_without_measured_errors_nothing_is_called_undecided():
    search = Search(confirm=False, step=0.5, resolution=0.1)
    cell = break_even(["edge_array"], SHAPE, patterns=["block_wise"], search=search).cells[0]
    assert not cell.has_interval
    assert (cell.undecided, cell.surely_from) == (None, None)
    assert "unknown" in cell.basis


def test_all_products_count_as_often_as_the_workload_has_them():
    layers = [{"type": "linear", "rows": 256, "inputs": 256, "outputs": size} for size in (256, 512, 512)]
    network = NetworkWorkload(kind="network", name="three", layers=layers)
    machine = load_hardware("t4")
    products = products_of(network)
    assert [(one.n, one.count) for one in products] == [(256, 1), (512, 2)]
    bench = Bench(network)
    single = [bench.time(machine, [one], "dense", None, "estimate").latency_us for one in products]
    whole = bench.time(machine, products, "dense", None, "estimate")
    assert whole.latency_us == pytest.approx(single[0] + 2 * single[1])
    found = break_even(["t4"], network, patterns=["n_m"], search=COARSE)
    assert [cell.product for cell in found.cells] == ["256 x 256 x 256", "256 x 512 x 256", "all"]


def test_batch_multiplies_rows():
    layer = products_of(load_workload("bert_base_layer"), batch=100)
    assert [(one.m, one.n, one.k, one.count) for one in layer] == [
        (12800, 768, 768, 4),
        (12800, 3072, 768, 1),
        (12800, 768, 3072, 1),
    ]


@pytest.mark.parametrize(
    ("name", "macs", "count"), [("vgg16", 15.35e9, 13), ("resnet50", 4.09e9, 53), ("nmt_lstm", 1.208e9, 4)]
)
def test_published_networks_have_their_operations(name, macs, count):
    workload = load_workload(name)
    assert build_network(workload).macs == pytest.approx(macs, rel=0.01)
    assert sum(one.count for one in products_of(workload)) == count


def test_a_product_keeps_the_format_of_its_workload():
    origin = load_workload("bert_base_layer", ["workload.dtype=bf16"])
    assert workload_of(PRODUCT, origin).dtype == "bf16"


def test_ladders_are_what_patterns_can_have():
    assert ladder(NM(), 0.2, 0.01) == (0.5,)
    assert ladder(VectorWise(vector=4), 0.98, 0.01) == (0.0, 0.25, 0.5, 0.75)
    assert ladder(TileVectorWise(), 0.6, 0.05) == (0.5, 0.55, 0.6)
    assert ladder(TileVectorWise(vector=16), 0.1, 0.05) == (0.0, 0.05, 0.1)
    assert ladder(TileElementWise(delta=0.1), 0.98, 0.05)[-1] < 0.9
    assert ladder(BlockWise(), 0.98, 0.49) == (0.0, 0.49, 0.98)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 1.0}, "limit < 1"),
        ({"resolution": 0.0}, "0.001 <= resolution"),
        ({"step": 0.001}, "resolution <= step"),
        ({"engine": "simpy"}, "allowed: estimate, events"),
    ],
)
def test_searches_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Search(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patterns": ["tile_wisee"]}, "did you mean 'tile_wise'"),
        ({"patterns": []}, "at least one pattern"),
        ({"patterns": ["n_m", "n_m"]}, "n_m more than once"),
        ({"hardware": ["t4", "t4"]}, "t4 more than once"),
        ({"hardware": []}, "at least one GPU"),
        ({"batch": 0}, "at least 1"),
        ({"sets": ["tile_wise.sparsity=0.5"], "patterns": ["tile_wise"]}, "is given too"),
    ],
)
def test_mistakes_are_named(options, message):
    options = {"hardware": ["t4"], "workload": SHAPE, "search": COARSE, **options}
    with pytest.raises(ConfigError, match=message):
        break_even(**options)


def test_a_workload_without_weights_is_refused():
    attention = AttentionWorkload(kind="attention", heads=2, sequence=64, head_dim=64)
    with pytest.raises(ConfigError, match="no product with weights"):
        break_even(["t4"], attention)


def test_a_granularity_beyond_the_columns_is_a_reason_and_no_end():
    narrow = GemmWorkload(kind="gemm", m=512, n=64, k=256)
    cell = break_even(["t4"], narrow, patterns=["tile_wise"], search=COARSE).cells[0]
    assert cell.status == "unavailable"
    assert "at most 64" in cell.reason
    with pytest.raises(MappingError):
        Bench(narrow).time(load_hardware("t4"), [Product(512, 64, 256)], "tile_wise", 0.5, "estimate")

"""Service times from simulated runs are those of runs, batch by batch and input by input."""

import numpy as np
import pytest

import accelsim
from accelsim.errors import UserError
from accelsim.explore.serve import Batching, Demand, ServiceTimes, serve
from accelsim.explore.serve.population import footprint_bytes
from accelsim.explore.serve.request import ServeRequest
from accelsim.explore.serve.runs import BATCHES_OF_A_SIZE, groups, simulate_services
from accelsim.model.build import build_network

IMAGES = "workload.images=12"


def _services(hardware: str, workload: str, scheme: str, batching: Batching, **options: object) -> ServiceTimes:
    sets = options.pop("sets", ())
    return simulate_services(ServeRequest.of(hardware, workload, sets, **options), scheme, batching)  # type: ignore[arg-type]


@pytest.mark.parametrize("guard", ["none", "head", "input"])
def test_each_image_takes_what_it_takes_alone(guard: str) -> None:
    sets = (IMAGES, f"hdp.guard={guard}", *(("hdp.guard_margin=3.0",) if guard != "none" else ()))
    found = _services("edge_hdp", "digits_vit_16", "hdp", Batching(), sets=sets)
    alone = accelsim.run("edge_hdp", "digits_vit_16", scheme="hdp", sets=sets, per_input=True).per_input
    assert alone is not None
    assert found.outcomes_of(1, 0).tolist() == np.rint(alone["latency_us"].to_numpy() * 1e6).astype(int).tolist()
    assert found.energies_uj.tolist() == pytest.approx(alone["energy_uj"].tolist())
    assert len(set(found.outcomes_of(1, 0).tolist())) > 1


def test_a_batch_of_images_takes_what_a_run_of_them_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelsim.explore.serve import runs

    monkeypatch.setattr(runs, "groups", lambda items, size, seed: np.arange(size)[None])
    found = _services("edge_hdp", "digits_vit_16", "hdp", Batching(3), sets=(IMAGES,))
    for size in (1, 3):
        result = accelsim.run("edge_hdp", "digits_vit_16", scheme="hdp", sets=[f"workload.images={size}"])
        assert found.mean_us(size, 0) == pytest.approx(result.summary["latency_us"])
        assert found.energies_uj[found.first[size, 0]] == pytest.approx(result.summary["energy_uj"])


@pytest.mark.parametrize("scheme", ["dense", "tile_wise", "dense_on_unit"])
def test_other_schemes_have_one_time_which_is_that_of_a_run(scheme: str) -> None:
    rules = Batching(3, sizes=(1, 3), buckets=(32, 64))
    found = _services("a100_hdp", "bert_tiny", scheme, rules)
    assert set(found.count[1:].ravel().tolist()) == {1}
    for size, place in ((1, 0), (3, 1)):
        sets = [f"workload.batch={size}", f"workload.sequence={rules.buckets[place]}"]
        result = accelsim.run("a100_hdp", "bert_tiny", scheme=scheme, sets=sets)
        assert found.mean_us(size, place) == pytest.approx(result.summary["latency_us"], rel=1e-9)


def test_a_product_is_batched_by_its_rows() -> None:
    found = _services("t4", "gemm_1024", "dense", Batching(2), values=False)
    for size in (1, 2):
        result = accelsim.run("t4", "gemm_1024", values=False, sets=[f"workload.m={1024 * size}"])
        assert found.mean_us(size, 0) == pytest.approx(result.summary["latency_us"])


def test_idle_power_is_that_of_all_units() -> None:
    alone = _services("a100_sxm4_80gb", "gemm_1024", "dense", Batching(), values=False)
    both = _services("a100_hdp", "gemm_1024", "dense", Batching(), values=False)
    assert 0 < alone.idle_w < both.idle_w


def test_groups_use_every_input_about_as_often() -> None:
    assert groups(5, 1, 0).ravel().tolist() == [0, 1, 2, 3, 4]
    found = groups(7, 3, 0)
    assert found.shape == (BATCHES_OF_A_SIZE, 3)
    counts = np.bincount(found.ravel(), minlength=7)
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(found, groups(7, 3, 0))
    assert not np.array_equal(found, groups(7, 3, 1))


def test_footprint_of_a_product() -> None:
    network = build_network(accelsim.load_workload("gemm_1024"))
    assert footprint_bytes(network, False) == 2 * 3 * 1024 * 1024


@pytest.mark.parametrize(
    ("workload", "batching", "options", "words"),
    [
        ("digits_vit_16", Batching(13, sizes=(13,)), {"sets": (IMAGES,)}, "batch 13: workload digits_vit_16 has 12 in"),
        ("resnet50", Batching(2), {"values": False}, "batch 2: workload resnet50 has 1 input; allowed: 1 to 1"),
        ("digits_vit_16", Batching(buckets=(16,)), {}, "inputs of workload digits_vit_16 have one length"),
        ("gemm_1024", Batching(buckets=(16,)), {}, "buckets are for attention and encoders"),
        ("bert_base", Batching(65536, sizes=(65536,)), {"values": False}, "take .* GiB, and main memory holds 7.* GiB"),
        ("bert_tiny", Batching(4, sizes=(4,)), {"inputs": 2, "scheme": "hdp"}, "a batch of 4 needs at least as many"),
    ],
)
def test_what_cannot_be_batched_is_told(workload: str, batching: Batching, options: dict, words: str) -> None:
    options = dict(options)
    with pytest.raises(UserError, match=words):
        _services("a100_hdp", workload, options.pop("scheme", "dense"), batching, **options)


def test_requests_longer_than_the_workload_are_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,length\n0,16\n1,129\n")
    with pytest.raises(UserError, match="length 129, and the largest bucket holds 128"):
        serve("a100_hdp", "bert_tiny", demand=Demand(trace=trace), values=False)


def test_serve_puts_schemes_side_by_side() -> None:
    seen: list[tuple[int, int]] = []
    found = serve(
        "edge_hdp",
        "digits_vit_16",
        schemes=("dense", "hdp"),
        demand=Demand(requests=3000),
        batching=Batching(2, timeout_ps=50 * 10**6),
        sets=(IMAGES,),
        progress=lambda done, total: seen.append((done, total)),
    )
    frame = found.to_frame()
    assert list(dict.fromkeys(frame["scheme"])) == ["dense", "hdp"]
    assert (frame["utilisation"].between(0, 1)).all()
    below = frame[frame["load"] < 0.95]
    assert np.allclose(below["throughput_per_s"], below["rate_per_s"], rtol=0.1)
    services = found.services_frame()
    assert services["outcomes"].tolist() == [1, 1, 12, BATCHES_OF_A_SIZE]
    assert seen[0] == (0, 4)
    with pytest.raises(UserError, match="each once"):
        serve("edge_hdp", "digits_vit_16", schemes=("dense", "dense"))

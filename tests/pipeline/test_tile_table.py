"""The table of tiles: it holds every thread block once, with the work and the time that the run counts."""

import numpy as np
import pytest

import accelsim
from accelsim.tabulate import tiles as tile_table
from accelsim.tabulate.tiles import _places


@pytest.mark.parametrize("scheme", ["dense", "tile_wise", "n_m"])
def test_tiles_hold_all_blocks_and_all_work(scheme: str) -> None:
    sets = ("workload.m=512", "workload.n=768", "workload.k=384")
    result = accelsim.run("a100_sxm4_80gb", "gemm_1024", scheme=scheme, values=False, sets=sets)
    tiles, kernel = result.tiles, result.kernels.iloc[0]
    assert tiles is not None
    assert set(tiles["kernel"]) == {kernel["name"]}
    area = (tiles["m1"] - tiles["m0"]) * (tiles["n1"] - tiles["n0"])
    assert float((tiles["kept_share"] * area * 384).sum()) == pytest.approx(result.value("effectual_macs"))
    assert tiles["thread_blocks"].sum() <= kernel["thread_blocks"]
    assert (tiles["duration_us"] > 0).all()
    assert float(tiles["duration_us"].max()) <= kernel["duration_us"]
    assert not tiles.duplicated(["row", "column"]).any()
    if scheme == "dense":
        assert float(area.sum()) == 512 * 768
        assert (tiles["kept_share"] == 1).all()


def test_saved_tiles_load_back_and_stand_in_no_document(tmp_path: object) -> None:
    result = accelsim.run("v100_pcie", "gemm_1024", values=False, engine="estimate")
    loaded = accelsim.Result.load(result.save(f"{tmp_path}/one"))
    assert loaded.equals(result)
    assert loaded.tiles is not None
    assert "tiles" not in result.document()


def test_many_tiles_share_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_table, "SIDES", (2, 3))
    whole = accelsim.run("v100_pcie", "gemm_1024", values=False, engine="estimate")
    monkeypatch.setattr(tile_table, "SIDES", (2, 1024))
    each = accelsim.run("v100_pcie", "gemm_1024", values=False, engine="estimate")
    assert whole.tiles is not None
    assert each.tiles is not None
    assert len(whole.tiles) <= 9 < len(each.tiles)
    assert whole.tiles["thread_blocks"].sum() == each.tiles["thread_blocks"].sum()
    mean = np.average(each.tiles["duration_us"], weights=each.tiles["thread_blocks"])
    assert np.average(whole.tiles["duration_us"], weights=whole.tiles["thread_blocks"]) == pytest.approx(mean)


def test_equal_keys_share_a_place() -> None:
    number, place = _places(np.array([7, 7, 0, 3, 9, 3]), 2)
    assert number == 2
    assert place.tolist() == [1, 1, 0, 0, 1, 0]

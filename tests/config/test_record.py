"""A resolved config as a document, and its hash."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_config
from accelsim.config.names import folder
from accelsim.config.record import config_hash, fingerprint, from_document, to_document
from accelsim.errors import ConfigError

BASES = [
    ("a100_hdp", "bert_base_layer"),
    ("edge_hdp", "bert_tiny"),
    ("v100_pcie", "gemm_1024"),
    ("h100_sxm5", "bert_base"),
]


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(BASES),
    st.integers(1, 512),
    st.floats(1e6, 5e9, allow_nan=False),
    st.floats(0, 0.999),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_document_round_trips(
    base: tuple[str, str], tile_m: int, clock: float, sparsity: float, seed: int, values: bool
) -> None:
    sets = [f"mapping.tile_m={tile_m}", f"hardware.gpu.clock={clock!r} Hz", f"tile_wise.sparsity={sparsity!r}"]
    config = load_config(*base, sets=sets, seed=seed, values=values)
    document = json.loads(json.dumps(to_document(config), allow_nan=False))
    assert from_document(document) == config
    assert config_hash(from_document(document)) == config_hash(config)


def test_quantities_keep_their_units() -> None:
    gpu = to_document(load_config("a100_sxm4_80gb", "gemm_1024"))["hardware"]["gpu"]
    assert gpu["clock"] == "1.41 GHz"
    assert gpu["shared_memory"]["per_sm"] == "164 KiB"
    assert gpu["dram"]["bandwidth"] == "2039 GB/s"


def test_hash_follows_what_changes_numbers() -> None:
    base = config_hash(load_config("t4", "gemm_1024"))
    assert base == config_hash(load_config("t4", "gemm_1024"))
    assert base == config_hash(load_config("t4", "gemm_1024", sets=["hardware.clock=1.59 GHz"]))
    assert base == config_hash(load_config("t4", "gemm_1024", sets=["workload.description=another"]))
    changed = [
        load_config("t4", "gemm_1024", seed=1),
        load_config("t4", "gemm_1024", values=False),
        load_config("t4", "gemm_1024", engine="simpy"),
        load_config("t4", "gemm_1024", scheme="tile_wise"),
        load_config("t4", "gemm_1024", sets=["workload.m=1025"]),
        load_config("t4", "gemm_1024", sets=["hardware.clock=1.6 GHz"]),
        load_config("t4", "gemm_1024", sets=["hardware.library=cublas_volta"]),
        load_config("t4", "gemm_1024", sets=["hardware.energy=gpu_12nm"]),
        load_config("t4", "gemm_1024", sets=["mapping.raster=along_m"]),
    ]
    assert len({base, *map(config_hash, changed)}) == len(changed) + 1


def test_hash_follows_the_content_of_tables_and_files_not_their_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(folder("hwconfigs") / "energy" / "gpu_12nm_t4.yaml", tmp_path / name / "table.yaml")
        (tmp_path / name / "operands.npz").write_bytes(b"content")

    def hash_of(name: str) -> str:
        sets = [f"hardware.energy={tmp_path}/{name}/table.yaml"]
        return config_hash(load_config("t4", "gemm_1024", sets=sets, operands=tmp_path / name / "operands.npz"))

    before = hash_of("a")
    assert before == hash_of("b")
    (tmp_path / "b" / "operands.npz").write_bytes(b"changed")
    assert hash_of("b") != before
    (tmp_path / "b" / "operands.npz").write_bytes(b"content")
    assert hash_of("b") == before
    table = tmp_path / "b" / "table.yaml"
    table.write_text(table.read_text().replace("60 pJ", "61 pJ"))
    assert hash_of("b") != before


def test_fingerprint_holds_no_path(tmp_path: Path) -> None:
    (tmp_path / "operands.npz").write_bytes(b"content")
    shutil.copy(folder("hwconfigs") / "energy" / "gpu_12nm_t4.yaml", tmp_path / "table.yaml")
    sets = [f"hardware.energy={tmp_path}/table.yaml"]
    config = load_config("t4", "gemm_1024", sets=sets, operands=tmp_path / "operands.npz")
    assert str(tmp_path) not in json.dumps(fingerprint(config))
    assert fingerprint(config)["operands"]["file"] == "operands.npz"
    (tmp_path / "operands.npz").unlink()
    with pytest.raises(ConfigError, match=r"operands\.npz: cannot be read"):
        config_hash(config)


def test_files_of_the_project_are_written_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "vit.npz").write_bytes(b"")
    path = tmp_path / "vit.yaml"
    path.write_text(
        "kind: vision\nlayers: 1\nsequence: 4\nhidden: 8\nheads: 2\nffn: 16\npatch: 1\nclasses: 2\n"
        f"weights: {folder('workloads')}/gemm/gemm_1024.yaml\ndata: vit.npz\n"
    )
    config = load_config("t4", path)
    document = to_document(config)
    assert document["workload"]["weights"] == "built-in:workloads/gemm/gemm_1024.yaml"
    assert document["workload"]["data"] == str(tmp_path / "vit.npz")
    assert from_document(document) == config


def test_wrong_documents_are_named() -> None:
    document = to_document(load_config("t4", "gemm_1024"))
    document["mapping"]["tile_mm"] = 3
    document["scheme"] = "sparse"
    with pytest.raises(ConfigError) as error:
        from_document(document)
    assert "config document: run.mapping.tile_mm: unknown key 'tile_mm'; did you mean 'tile_m'" in str(error.value)
    assert "config document: run.scheme: 'sparse' is not allowed" in str(error.value)
    with pytest.raises(ConfigError, match="is a mapping"):
        from_document([])  # type: ignore[arg-type]
    document = to_document(load_config("t4", "gemm_1024")) | {"operands": "built-in:elsewhere/a.npz"}
    with pytest.raises(ConfigError, match="names no folder of the project"):
        from_document(document)

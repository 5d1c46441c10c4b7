"""The script that writes the tables of docs/validation.md, on made-up measurements."""

import importlib.util
from pathlib import Path

from tests.validate.tables import dense, write

SCRIPT = Path(__file__).parents[2] / "docs" / "error_tables.py"


def test_tables_name_every_machine_and_engine(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("error_tables", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    names = {"A100-SXM4-80GB": "bf16", "H100-SXM5-80GB": "bf16", "V100-SXM2-16GB": "fp16", "T4": "fp16"}
    rows = [dense(256, 256, 256, 5.0, gpu, dtype) for gpu, dtype in names.items()]
    write(tmp_path, *rows, name="gemm_dense.csv")
    write(tmp_path, dense(256, 256, 256, 5.0, "V100-PCIE-32GB", "fp16"), name="gemm_sparse.csv")
    lines = script.tables(tmp_path).splitlines()
    for machine in ("a100_sxm4_80gb", "h100_sxm5", "v100_sxm2", "t4", "v100_pcie"):
        for engine in ("estimate", "events"):
            assert sum(line.startswith(f"| {machine} | {engine} | 1 |") for line in lines) == 1
    assert any(line.startswith("| gpu against gpu | events | 6 |") for line in lines)
    widths = {line.count("|") for line in lines if line}
    assert widths == {10, 9, 8, 7}
    halves = [line.split(" | ")[2:4] for line in lines if line.startswith("| a100_sxm4_80gb | events |")][:2]
    assert sorted(halves) == [["calibrated", "0"], ["held out", "1"]] or sorted(halves) == [
        ["calibrated", "1"],
        ["held out", "0"],
    ]

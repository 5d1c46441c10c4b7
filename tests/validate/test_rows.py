"""Measured tables: what is read, and how every mistake is named by its place."""

from pathlib import Path

import pytest

from accelsim.errors import UserError
from accelsim.validate.rows import read_rows
from tests.validate.tables import HEADER, dense, write


def test_a_row_is_read_with_its_place(tmp_path: Path) -> None:
    rows = read_rows(
        write(tmp_path, "", dense(16, 32, 64, 5.5, notes="trtllm_1.0.0;cuda_graph"), "", dense(1, 2, 3, 4.0))
    )
    assert [(row.row, row.line, row.m, row.n, row.k, row.latency_us) for row in rows] == [
        (1, 3, 16, 32, 64, 5.5),
        (2, 5, 1, 2, 3, 4.0),
    ]
    assert rows[0].conditions.launch == "graph"
    assert (rows[0].gpu, rows[0].dtype, rows[0].op, rows[0].batch) == ("A100-SXM4-80GB", "bf16", "gemm", 1)


def test_columns_override_notes_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    header = "gpu,dtype,op,m,n,k,latency_us,notes,launch,copies,warm,library,op_a,tile_m,tile_n,tile_k,mood"
    notes = "trtllm_1.0.0;cuda_graph"
    told, silent = read_rows(
        write(
            tmp_path,
            f"x,float16,gemm,1,2,3,4,{notes},Stream,2,both,CUTLASS,t,128,64,32,good",
            f"x,half,gemm,1,2,3,4,{notes},,,,,,,,,",
            header=header,
        )
    )
    assert told.conditions.launch == "stream"
    assert (told.conditions.copies, told.conditions.warm, told.conditions.library) == (2, "both", "cutlass")
    assert (told.conditions.op_a, told.conditions.tile) == ("T", (128, 64, 32))
    assert (silent.conditions.launch, silent.conditions.copies, silent.conditions.tile) == ("graph", 6, None)
    assert told.dtype == silent.dtype == "fp16"


def test_attention_and_power_have_columns_of_their_own(tmp_path: Path) -> None:
    header = "gpu,dtype,op,batch,q_heads,kv_heads,head_dim,q_len,kv_len,causal,latency_us"
    attention = read_rows(write(tmp_path, "x,bf16,encoder,2,8,8,64,128,128,0,9.5", header=header))[0]
    assert attention.is_attention
    assert attention.attention["q_len"] == 128
    assert attention.attention["causal"] == 0
    power = read_rows(write(tmp_path, "x,bf16,16,64,5120,168.5", header="gpu,dtype,m,n,k,power_w"))[0]
    assert (power.op, power.power_w, power.latency_us) == ("gemm", 168.5, None)


@pytest.mark.parametrize(
    ("cell", "text", "problem"),
    [
        ("latency_us", "0", "latency_us is 0; it must be above 0"),
        ("latency_us", "-1", "latency_us is -1; it must be above 0"),
        ("latency_us", "nan", "latency_us is nan; it must be finite"),
        ("latency_us", "inf", "it must be finite"),
        ("latency_us", "", "latency_us is empty"),
        ("latency_us", "fast", "'fast', which is no number"),
        ("m", "0", "m is 0; it must be a whole number of at least 1"),
        ("k", "1.5", "k is 1.5; it must be a whole number"),
        ("n", "NaN", "n is NaN; it must be finite"),
        ("sparsity", "1.0", "it must be at least 0 and below 1"),
        ("dtype", "fp8", "unknown dtype 'fp8'; did you mean"),
        ("batch", "-2", "batch is -2"),
        ("m", "1" + "0" * 20, "it must be at most 2147483647"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(tmp_path: Path, cell: str, text: str, problem: str) -> None:
    names = HEADER.split(",")
    cells = dense(1, 2, 3, 4.0).split(",")
    cells[names.index(cell)] = text
    path = write(tmp_path, dense(1, 2, 3, 4.0), ",".join(cells))
    with pytest.raises(UserError, match=r"measured\.csv, row 2 \(line 3\): ") as error:
        read_rows(path)
    assert problem in str(error.value)


@pytest.mark.parametrize("column", ["gpu", "dtype", "op", "m", "latency_us"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    names = HEADER.split(",")
    cells = dict(zip(names, dense(1, 2, 3, 4.0).split(","), strict=True))
    kept = [name for name in names if name != column]
    path = write(tmp_path, ",".join(cells[name] for name in kept), header=",".join(kept))
    with pytest.raises(UserError, match=rf"column {column}\b"):
        read_rows(path)


def test_other_unfit_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rows below the header"):
        read_rows(write(tmp_path))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="empty; its first line must name the columns"):
        read_rows(tmp_path / "empty.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_rows(tmp_path / "bytes.csv")
    with pytest.raises(UserError, match="No such file"):
        read_rows(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match="more than once"):
        read_rows(write(tmp_path, header="gpu,dtype,op,m,n,k,m,latency_us"))
    with pytest.raises(UserError, match=r"row 1 \(line 2\): 2 cells, but the header names 11"):
        read_rows(write(tmp_path, "a,b"))
    with pytest.raises(UserError, match="give all of tile_m, tile_n and tile_k"):
        read_rows(write(tmp_path, "x,bf16,gemm,1,2,3,4,64", header="gpu,dtype,op,m,n,k,latency_us,tile_m"))
    with pytest.raises(UserError, match="unknown launch 'grap'; did you mean 'graph'"):
        read_rows(write(tmp_path, "x,bf16,gemm,1,2,3,4,grap", header="gpu,dtype,op,m,n,k,latency_us,launch"))
    with pytest.raises(UserError, match="op context needs column q_heads"):
        read_rows(write(tmp_path, dense(1, 2, 3, 4.0).replace("gemm", "context")))

"""Small made-up tables for tests."""

from pathlib import Path

HEADER = "dataset,gpu,dtype,op,batch,m,n,k,sparsity,latency_us,notes"


def write(folder: Path, *rows: str, header: str = HEADER, name: str = "measured.csv") -> Path:
    """A table of these rows below a header."""
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def dense(
    m: int, n: int, k: int, latency: float, gpu: str = "A100-SXM4-80GB", dtype: str = "bf16", notes: str = ""
) -> str:
    """A row of a dense product."""
    return f"made up,{gpu},{dtype},gemm,1,{m},{n},{k},0.0,{latency!r},{notes}"

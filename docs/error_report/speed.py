"""How long predictions take."""

import platform
import time
from pathlib import Path

from accelsim.config.loader import load_hardware
from accelsim.validate import predict, read_rows
from accelsim.validate.run import rows_of
from error_report.markdown import table
from error_report.measured import ENGINES, TABLES

TABLE = "gemm_dense.csv"


def speed(folder: Path) -> str:
    """Seconds of one core for all rows of the dense table: kernels chosen and predicted, everything warm."""
    every = read_rows(folder / TABLE)
    gpus = [load_hardware(name).gpu for name in TABLES[TABLE]]
    rows = [(gpu, rows_of(every, gpu, None, False, TABLE)) for gpu in gpus]
    count = sum(len(own) for _, own in rows)
    timed = []
    for engine in ENGINES:
        for gpu, own in rows:
            predict(own[:1], gpu, engine)
        begin = time.process_time()
        for gpu, own in rows:
            predict(own, gpu, engine)
        seconds = time.process_time() - begin
        timed.append([engine, count, f"{seconds:.2f}", f"{1000 * seconds / count:.2f}"])
    where = f"On one core of a shared {platform.machine()} server, Python {platform.python_version()}:\n\n"
    return where + table(["engine", "products", "seconds of processor time", "ms each"], timed, texts=1)

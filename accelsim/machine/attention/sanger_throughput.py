"""Sanger's latency as its authors' public scripts estimate it, from a density and a load balance.

Both are arithmetic over a whole layer of self-attention (github.com/hatsu3/Sanger, bench_sanger.py and
bench_sanger_v2.py): nothing is simulated, memory is ideal, and prediction is free.
"""

ELEMENT_BYTES = 2
"""Of an element of K or V."""


def sanger_throughput_cycles(
    density: float,
    load_balance: float,
    n: int,
    version: int = 1,
    *,
    hidden: int = 768,
    projections: bool = True,
    rows: int = 64,
    row_pes: int = 16,
    ports: int = 64,
    skew: int = 64,
    clock_hz: float = 1e9,
    bandwidth: float = 128e9,
) -> float:
    """Cycles of one layer of self-attention.

    With P = rows x row_pes multipliers and x = density / load_balance, version 1 is

        (3 n h^2 + (2 n^2 h + n h^2) x) / P.

    The output projection n h^2 is scaled by the density like attention itself, although it is dense: so do the scripts.
    Version 2 replaces the attention term by passes of the array. The masks of a strip of `ports` keys make
    s = n x ports / row_pes sub-rows, and

        (s / rows) (n / ports) ((h + skew) + (s + skew)) max(1, ports x 2 B x clock / bandwidth).

    It takes the width of all heads for the depth of a score, and the number of sub-rows for that of P x V.

    Parameters
    ----------
    density : float
        Share of pairs kept.
    load_balance : float
        Share of the processing elements of a sub-row that hold a pair (`accelsim.kernels.sanger.load_balance`).
    n : int
        Sequence.
    version : {1, 2}
        Which of the scripts.
    hidden : int
        Width h of all heads together; the formulas do not know how many heads there are.
    projections : bool
        As the scripts have it: with those of Q, K, V and the output. Without, attention alone.
    rows, row_pes, ports, skew : int
        The array; skew only in version 2.
    clock_hz, bandwidth : float
        Hertz and bytes a second; only in version 2.

    Raises
    ------
    ValueError
        For a density or load balance outside (0, 1], sizes below 1 or another version.
    """
    if not (0 < density <= 1 and 0 < load_balance <= 1):
        raise ValueError(f"density {density} and load_balance {load_balance}: allowed are numbers above 0, at most 1")
    if min(n, hidden, rows, row_pes, ports) < 1:
        raise ValueError(f"sizes must be at least 1, not n={n}, hidden={hidden}, {rows} x {row_pes} PEs, {ports} ports")
    if version not in (1, 2):
        raise ValueError(f"version {version} is unknown; allowed: 1, 2")
    peak, work = rows * row_pes, density / load_balance
    dense = 3 * n * hidden**2 / peak if projections else 0.0
    output = n * hidden**2 * work / peak if projections else 0.0
    if version == 1:
        return dense + 2 * n**2 * hidden * work / peak + output
    sub_rows = n * work * ports / row_pes
    streams = max(1.0, ports * ELEMENT_BYTES * clock_hz / bandwidth)
    passes = sub_rows / rows * (n / ports)
    return dense + passes * ((hidden + skew) + (sub_rows + skew)) * streams + output


def sanger_throughput_ms(
    density: float,
    load_balance: float,
    n: int,
    version: int = 1,
    *,
    hidden: int = 768,
    projections: bool = True,
    rows: int = 64,
    row_pes: int = 16,
    ports: int = 64,
    skew: int = 64,
    clock_hz: float = 1e9,
    bandwidth: float = 128e9,
) -> float:
    """Milliseconds of one layer, by the arithmetic of `sanger_throughput_cycles`, whose parameters these are.

    Examples
    --------
    >>> round(sanger_throughput_ms(0.1, 0.6, 512), 4)
    0.9994
    >>> round(sanger_throughput_ms(0.1, 0.6, 512, version=2), 4)
    0.9867
    """
    cycles = sanger_throughput_cycles(
        density,
        load_balance,
        n,
        version,
        hidden=hidden,
        projections=projections,
        rows=rows,
        row_pes=row_pes,
        ports=ports,
        skew=skew,
        clock_hz=clock_hz,
        bandwidth=bandwidth,
    )
    return 1e3 * cycles / clock_hz

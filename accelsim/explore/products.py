"""The products of a workload whose weights can be pruned, each shape once, and ladders of sparsities for a pattern."""

from dataclasses import dataclass

from accelsim.config.pattern_options import NM, PatternOptions, TileElementWise, TileVectorWise, VectorWise
from accelsim.config.workload import GemmWorkload, Workload
from accelsim.errors import ConfigError
from accelsim.explore.crossing import rungs
from accelsim.mapping.masks import prunable
from accelsim.model.build import build_network

_MARGIN = 1e-9


@dataclass(frozen=True)
class Product:
    """C[m, n] = A[m, k] B[k, n] with weights B, and how often a workload has it."""

    m: int
    n: int
    k: int
    count: int = 1

    @property
    def name(self) -> str:
        """m x n x k in words."""
        return f"{self.m} x {self.n} x {self.k}"


def products_of(workload: Workload, batch: int = 1) -> tuple[Product, ...]:
    """Distinct products of a workload whose weights a scheme prunes, in order of execution.

    A convolution counts as the product that im2col makes of it, an LSTM's step as the product of all four gates.

    Parameters
    ----------
    workload : Workload
    batch : int
        So many times the workload's own inputs run together: m of every product is multiplied by it.

    Raises
    ------
    ConfigError
        When no weights can be pruned, or m leaves the range of what is simulated.
    """
    counts: dict[tuple[int, int, int], int] = {}
    for gemm in prunable(build_network(workload)):
        shape = (gemm.m * batch, gemm.n, gemm.k)
        counts[shape] = counts.get(shape, 0) + 1
    if not counts:
        raise ConfigError(f"workload {workload.name or workload.kind} has no product with weights that can be pruned")
    return tuple(Product(*shape, count) for shape, count in counts.items())


def workload_of(product: Product, origin: Workload) -> GemmWorkload:
    """A product alone, in the format, caches and way of launching of the workload that it comes from."""
    names = ("dtype", "caches", "launch", "defaults")
    inherited = {name: getattr(origin, name) for name in names}
    return GemmWorkload(kind="gemm", name=product.name, m=product.m, n=product.n, k=product.k, **inherited)


def ladder(options: PatternOptions, limit: float, resolution: float) -> tuple[float, ...]:
    """Sparsities that a pattern can have, ascending, up to `limit` and `resolution` apart where it has any.

    - n:m has one, and no limit cuts it off.
    - Vector-wise has those of whole weights per vector.
    - Tile-vector-wise with vectors of 4 begins where two of them go.
    - Tile-element-wise ends where its tiles, `delta` sparser than the whole, keep something.
    """
    if isinstance(options, NM):
        return (options.sparsity,)
    if isinstance(options, VectorWise):
        shares = [pruned / options.vector for pruned in range(options.vector)]
        return tuple(share for share in shares if share <= limit + _MARGIN)
    if isinstance(options, TileVectorWise) and options.vector == 4:
        return rungs(0.5, max(0.5, limit), resolution)
    if isinstance(options, TileElementWise):
        limit = min(limit, max(0.0, 1.0 - options.delta - resolution))
    return rungs(0.0, limit, resolution)

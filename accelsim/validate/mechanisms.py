"""Mechanisms of the model that can be switched off, to see what each of them buys.

A mechanism is off when its numbers are: a latency of zero, a bandwidth that nothing reaches, a menu of one kernel. So a
switch changes what the model is given, never the model, and works alike under every engine.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelsim.config.hardware import Gpu, Library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.errors import UserError
from accelsim.validate.parameters import with_values

_UNREACHED = 1e6
"""Bytes a cycle, some hundred times what a GPU has."""


@dataclass(frozen=True)
class Mechanism:
    """Something that the model does, and the values with which it no longer matters."""

    name: str
    meaning: str
    """What the model does."""
    instead: str
    """What happens without it."""
    gpu: dict[str, Any] = field(default_factory=dict)
    """Values by dotted path, in canonical units."""
    library: dict[str, Any] = field(default_factory=dict)
    """Of the menu of kernels."""
    mapping: dict[str, Any] = field(default_factory=dict)
    """What is fixed of the kernel."""
    caches: dict[str, Any] = field(default_factory=dict)
    """What lies in L2 at the start."""
    estimate: dict[str, Any] = field(default_factory=dict)
    """Of the closed form's numbers (`accelsim.estimate.gemm.GemmMachine`); events cannot do without."""

    def sets(self, gpu: Gpu) -> tuple[str, ...]:
        """``PATH=VALUE`` texts with which ``--set`` does the same in a run.

        Parameters
        ----------
        gpu : Gpu
            Any; it says which units values have.

        Returns
        -------
        tuple of str
            None for what belongs to the library's menu, which is a file of its own.
        """
        document = with_values(gpu, self.gpu).model_dump(mode="json")
        parts = (("mapping", self.mapping), ("workload.caches", self.caches))
        return (
            *(f"hardware.{path}={_at(document, path)}" for path in self.gpu),
            *(f"{root}.{key}={value}" for root, changed in parts for key, value in changed.items()),
        )


def _at(document: dict[str, Any], path: str) -> str:
    """A value of a spec as YAML writes it."""
    node: Any = document
    for key in path.split("."):
        node = node[key]
    return "null" if node is None else str(node)


MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        Mechanism(
            "kernel_choice",
            "a library chooses among tiles",
            "one tile of 128 x 128, no matrix-vector kernels",
            mapping={"tile_m": 128, "tile_n": 128},
        ),
        Mechanism(
            "few_blocks",
            "a library starts kernels of few thread blocks later",
            "all start alike",
            library={"few_blocks": None},
        ),
        Mechanism(
            "split_k",
            "thread blocks may share the k of an output tile",
            "split-K of 1",
            mapping={"split_k": 1},
        ),
        Mechanism(
            "matrix_vector",
            "products of one row have kernels of their own",
            "tensor-core tiles for them too",
            library={"gemv": []},
        ),
        Mechanism(
            "load_latency",
            "a main loop waits when too few tiles are in flight for the latency of loads",
            "loads take no time beyond their bandwidth",
            gpu={"load_latency": 0.0, "miss_latency": 0.0},
        ),
        Mechanism(
            "miss_latency",
            "a tile from DRAM comes later than one from L2",
            "both after the same latency",
            gpu={"miss_latency": 0.0},
        ),
        Mechanism(
            "block_setup",
            "a thread block starts to load some time after its dispatch",
            "at once",
            gpu={"block_setup": 0.0},
        ),
        Mechanism(
            "epilogue",
            "accumulators leave an SM at a limited rate, after its main loop",
            "they leave at once",
            gpu={"epilogue": _UNREACHED},
        ),
        Mechanism(
            "tensor_efficiency",
            "main loops reach a share of the tensor cores' peak",
            "all of it",
            gpu={"tensor_efficiency": 1.0},
        ),
        Mechanism(
            "shared_memory",
            "operands pass through shared memory at its bandwidth",
            "without a limit",
            gpu={"shared_memory.bandwidth": _UNREACHED},
        ),
        Mechanism(
            "l2_bandwidth",
            "loads pass L2 and the port of an SM at their bandwidths",
            "without a limit",
            gpu={"l2.bandwidth": _UNREACHED, "l2.port": _UNREACHED},
        ),
        Mechanism(
            "dram_efficiency",
            "streams reach a share of DRAM's peak",
            "all of it",
            gpu={"dram.efficiency": 1.0},
        ),
        Mechanism(
            "strided_rows",
            "DRAM is slower where a k-step takes short pieces of rows, no power of two apart",
            "as fast as in a long stream",
            gpu={"dram.strided_efficiency": None},
        ),
        Mechanism(
            "dram",
            "misses of L2 wait for DRAM",
            "DRAM without a limit and as near as L2",
            gpu={"dram.bandwidth": 1e18, "miss_latency": 0.0},
        ),
        Mechanism(
            "copies",
            "weights are cold where the copies that were used in turn do not fit L2",
            "weights start in L2, as far as one copy fits",
            caches={"weights": "warm"},
        ),
        Mechanism(
            "warm_start",
            "operands that lie in L2 at the start are hits",
            "everything starts in DRAM",
            caches={"weights": "cold", "activations": "cold"},
        ),
        Mechanism(
            "l2_capacity",
            "L2 loses what it has no room for",
            "it loses nothing, so that copies of weights fit too",
            gpu={"l2.capacity": 10**12, "l2.retained": None},
        ),
        Mechanism(
            "l2_reuse",
            "what one thread block loaded is a hit for the next ones while L2 holds it",
            "it holds nothing (the closed form still shares loads within a wave)",
            gpu={"l2.capacity": 1, "l2.retained": None},
        ),
        Mechanism(
            "power",
            "the clock falls so that the board keeps its power limit",
            "full clock",
            gpu={"power": None},
        ),
        Mechanism(
            "reduce_gap",
            "the kernel that adds up split-K's parts starts some time after the product's",
            "at once",
            gpu={"launch.reduce": 0.0},
        ),
        Mechanism(
            "launch",
            "a kernel takes time to launch, to start and to drain",
            "none",
            gpu={
                "launch.graph": 0.0,
                "launch.stream": 0.0,
                "launch.host": 0.0,
                "launch.start_drain": 0.0,
                "launch.sync": 0.0,
            },
        ),
        Mechanism(
            "whole_waves",
            "a last wave of few thread blocks takes as long as a full one",
            "it takes its share of that (the closed form only)",
            estimate={"whole_waves": False},
        ),
    )
}
"""By name. Whole tiles are how a product is cut, and have no switch."""


def mechanisms(names: Iterable[str]) -> tuple[Mechanism, ...]:
    """The mechanisms of these names, in the order of the registry.

    Raises
    ------
    UserError
        For a name that does not exist, with near ones.
    """
    wanted = set(names)
    for name in sorted(wanted - MECHANISMS.keys()):
        near = difflib.get_close_matches(name, MECHANISMS, n=2, cutoff=0.5)
        question = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
        raise UserError(f"unknown mechanism {name!r}{question} allowed: {', '.join(MECHANISMS)}")
    return tuple(mechanism for name, mechanism in MECHANISMS.items() if name in wanted)


@dataclass(frozen=True)
class Switches:
    """Several mechanisms off: a pure function for each part of what a product is simulated with."""

    switched_off: Sequence[Mechanism] = ()

    @property
    def paths(self) -> frozenset[str]:
        """Fields of the machine that they replace."""
        return frozenset(path for mechanism in self.switched_off for path in mechanism.gpu)

    def gpu(self, gpu: Gpu) -> Gpu:
        """The machine without them."""
        for mechanism in self.switched_off:
            gpu = with_values(gpu, mechanism.gpu)
        return gpu

    def library(self, library: Library) -> Library:
        """The menu without them."""
        changes = self._changes("library")
        return library.model_copy(update=changes) if changes else library

    def mapping(self, mapping: Mapping) -> Mapping:
        """What is fixed of kernels without them."""
        changes = self._changes("mapping")
        return mapping.model_copy(update=changes) if changes else mapping

    def caches(self, caches: Caches) -> Caches:
        """The start of L2 without them."""
        changes = self._changes("caches")
        return caches.model_copy(update=changes) if changes else caches

    @property
    def estimate(self) -> dict[str, Any]:
        """Numbers of the closed form without them."""
        return self._changes("estimate")

    def _changes(self, part: str) -> dict[str, Any]:
        return {key: value for mechanism in self.switched_off for key, value in getattr(mechanism, part).items()}

"""Waves of thread blocks in closed form: the device of `accelsim.machine.gemm`, without its events.

All functions are pure and work on arrays elementwise; times are in any one unit (cycles or ticks).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """Kernels of equal thread blocks, one to an element."""

    blocks: Array
    resident: Array
    """Thread blocks that an SM holds at once."""
    steps: Array
    """K-steps of a thread block."""
    compute: Array
    """Time of a k-step on the tensor core, or in shared memory if that is longer."""
    port: Array
    """Time of a k-step's loads on the SM's L2 port."""
    l2: Array
    """Time of a k-step's loads in L2."""
    window: Array
    """K-steps in flight."""
    setup: Array
    latency: Array
    miss_latency: Array
    """What a tile from DRAM takes beyond `latency`."""
    epilogue: Array
    """Time of a thread block's epilogue on its SM."""
    last_epilogue: Array
    """Likewise, of the largest of the thread blocks."""
    epilogue_l2: Array
    """Time of its writes in L2."""
    epilogue_dram: Array
    """Time of its writes in DRAM."""
    write_backlog: Array
    """Time by which writes to DRAM may lag behind."""
    whole_waves: bool = True
    """Whether a last wave of few thread blocks takes as long as a full one; else only its share of it."""


@dataclass(frozen=True)
class Reads:
    """DRAM time of the tiles that waves miss: that of the first wave, of each in the middle, and of the last."""

    first: Array
    middle: Array
    last: Array

    def total(self, full: Array) -> Array:
        """Of all waves, `full` of them before the last."""
        result: Array = self.first + np.where(full > 0, (full - 1) * self.middle + self.last, 0.0)
        return result


def waves(kernel: Kernel, sm_count: Array | int) -> tuple[Array, Array]:
    """Full waves before the last one, and the thread blocks of the last (1 to sm_count x resident)."""
    slots, blocks = sm_count * kernel.resident, kernel.blocks
    if not kernel.whole_waves:
        return np.maximum(blocks / slots - 1, 0), np.minimum(blocks, slots)
    full = np.maximum(np.ceil(blocks / slots) - 1, 0)
    return full, blocks - full * slots


def kernel_time(kernel: Kernel, sm_count: Array | int, reads: Reads) -> Array:
    """Time from the dispatch of a kernel's first thread block to the end of its last.

    A k-step of a wave with c thread blocks on an SM takes the longest of: c times its compute, c times its loads on the
    port, those of all thread blocks in L2, latency over the window, the wave's misses over its k-steps. Before it come
    set-up and the first load. The epilogues of an SM's thread blocks follow each other; with several resident, all but
    the first wave's hide behind each other's main loops. The first loads of the whole device meet in L2 and DRAM.
    DRAM bounds it all: what is read and written, but for the writes that L2 holds back.
    """
    full, rest = waves(kernel, sm_count)
    per_sm = np.ceil(rest / sm_count) if kernel.whole_waves else np.maximum(rest / sm_count, 1)
    wave = _Wave(kernel, kernel.resident, sm_count * kernel.resident)
    last = _Wave(kernel, per_sm, rest)
    first_period, period = wave.period(reads.first, True), wave.period(reads.middle, False)
    # The last epilogue of a full wave, as far as the wave's own time does not cover it.
    covered = period - wave.prologue(reads.middle) - wave.shared_time(reads.middle, False)
    drain = np.clip(kernel.epilogue - covered, 0, kernel.epilogue)
    before = np.where(full > 0, first_period + (full - 1) * period + drain, 0.0)
    only = full == 0
    # Thread blocks of a later wave follow each other by an epilogue; those of the first one end together.
    spread = np.where(only, 0.0, per_sm - 1) * kernel.epilogue
    shared = np.where(only, last.shared_time(reads.last, True), last.shared_time(reads.last, False))
    main = np.maximum(shared, last.alone_time(reads.last) + spread)
    epilogue = np.maximum(np.where(only, per_sm, 1.0) * kernel.last_epilogue, rest * kernel.epilogue_l2)
    dram = reads.total(full) + kernel.blocks * kernel.epilogue_dram - kernel.write_backlog
    result: Array = np.maximum(before + last.prologue(reads.last) + main + epilogue, dram)
    return result


def lost_before_use(distinct: Array, warm: Array, capacity: float) -> Array:
    """Bytes of warm tiles that L2 drops before their first use.

    When the distinct tiles D of a kernel exceed L2, each miss drives out a tile that has not been used since the start.
    Taken as hitting any such tile, the share of misses grows from q = 1 - capacity / D with the progress x as
    q / (1 - x), until nothing warm is left at x = 1 - q: in all D q ln(1 / q) beyond the D q missing from the start.
    """
    share = np.clip(1 - capacity / np.maximum(distinct, 1), 0, 1)
    result: Array = np.minimum(warm, -distinct * share * np.log(np.maximum(share, 1e-300)))
    return result


@dataclass(frozen=True)
class _Wave:
    """Thread blocks that begin together: `per_sm` to an SM, `active` in all."""

    kernel: Kernel
    per_sm: Array
    active: Array

    def latency(self, read: Array) -> Array:
        """From asking for a k-step's tiles to using them, in a wave that reads `read` from DRAM."""
        kernel = self.kernel
        miss = kernel.miss_latency + read / np.maximum(kernel.steps * self.active, 1)
        return kernel.latency + np.maximum(np.maximum(kernel.port, kernel.l2), np.where(read > 0, miss, 0.0))

    def prologue(self, read: Array) -> Array:
        """From dispatch to the first k-step."""
        return self.kernel.setup + np.where(self.kernel.steps > 0, self.latency(read), 0.0)

    def period(self, read: Array, together: bool) -> Array:
        """From the dispatch of a full wave to that of the next; writes to DRAM drain behind and share its channels."""
        kernel = self.kernel
        own = np.maximum(self.shared_time(read, together), self.alone_time(read) + kernel.epilogue)
        l2 = self.active * (kernel.steps * kernel.l2 + kernel.epilogue_l2)
        drain = np.maximum(self.per_sm * kernel.epilogue, read + self.active * kernel.epilogue_dram)
        result: Array = np.maximum(self.prologue(read) + own, np.maximum(l2, drain))
        return result

    def shared_time(self, read: Array, together: bool) -> Array:
        """Time of the main loops as what the thread blocks share bounds it."""
        kernel = self.kernel
        step = np.maximum(self.per_sm * np.maximum(kernel.compute, kernel.port), self.active * kernel.l2)
        if not together:
            return np.maximum(kernel.steps * step, read)
        ahead = np.minimum(kernel.window, kernel.steps)
        fill = np.maximum(self.active * ahead * kernel.l2, read * ahead / np.maximum(kernel.steps, 1))
        own = kernel.steps * self.per_sm * np.maximum(kernel.compute, kernel.port)
        # An SM's first thread block waits for its share of the loads ahead of it, its last one for all of them.
        begun = np.maximum(own + fill / self.per_sm, own / self.per_sm + fill)
        return np.maximum(np.maximum(begun, kernel.steps * step), read)

    def alone_time(self, read: Array) -> Array:
        """Time of one thread block's main loop as its own compute and window bound it."""
        kernel = self.kernel
        # A window of k-steps goes by at the pace of compute; the next one waits for loads issued as this one began.
        windows, rest = np.divmod(np.maximum(kernel.steps - 1, 0), kernel.window)
        pace = np.maximum(self.latency(read), kernel.window * kernel.compute)
        return np.where(kernel.steps > 0, windows * pace + (rest + 1) * kernel.compute, 0.0)

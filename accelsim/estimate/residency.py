"""Which tiles the waves of thread blocks miss in L2, from reuse distances instead of a list of what is resident."""

from dataclasses import dataclass

import numpy as np

from accelsim.estimate.waves import Array, lost_before_use
from accelsim.machine.gemm.check import chunk_counts
from accelsim.machine.gemm.program import DeviceProgram, IntArray


@dataclass(frozen=True)
class WaveReads:
    """DRAM reads of waves."""

    time: Array
    """[waves] ticks that they take on all channels together."""
    channel: IntArray
    """First channel of every tile that a wave touches."""
    ticks: Array
    """Ticks expected on all its channels, booked on the first: what matters is their sum."""
    bytes: int


def wave_reads(program: DeviceProgram, wave: IntArray, waves: int) -> WaveReads:
    """What every wave reads from DRAM.

    A wave misses a tile that no wave touched before it (unless it is warm), and one whose last use lies further back
    than L2 holds: the distinct bytes of the waves from that use on. Of the warm tiles some are lost before their use.

    Parameters
    ----------
    program : DeviceProgram
        Thread blocks, spans, tiles.
    wave : ndarray
        [blocks] the wave of each thread block, counted over all launches.
    waves : int
        Number of waves.
    """
    at, tile = _touches(program, wave)
    size = program.tile_bytes[tile]
    before = np.concatenate([[0], np.cumsum(np.bincount(at, size, waves))])
    order = np.lexsort((at, tile))
    at, tile, size = at[order], tile[order], size[order]
    again = np.zeros(len(tile), bool)
    again[1:] = tile[1:] == tile[:-1]
    previous = np.where(again, np.roll(at, 1), 0)
    warm = np.zeros(len(program.tile_bytes), bool)
    warm[program.warm_tiles] = True
    first_warm = ~again & warm[tile]
    near = before[at] - before[previous] <= program.l2_capacity
    missed = np.where((again | first_warm) & near, 0.0, 1.0)
    hit_bytes = float((size * (first_warm & near)).sum())
    lost = float(lost_before_use(np.asarray(size[~again].sum()), np.asarray(hit_bytes), program.l2_capacity))
    missed[first_warm & near] = lost / max(hit_bytes, 1.0)
    ticks = missed * (program.tile_dram * program.tile_channels)[tile]
    return WaveReads(
        time=np.bincount(at, ticks, waves) / program.channels,
        channel=program.tile_channel[tile],
        ticks=ticks,
        bytes=int((size * missed).sum()),
    )


def _touches(program: DeviceProgram, wave: IntArray) -> tuple[IntArray, IntArray]:
    """Distinct pairs of a wave and a tile that it touches."""
    chunks = chunk_counts(program)
    tiles = max(1, len(program.tile_bytes))
    pairs = []
    for base, span in (
        (program.block_a_base, program.block_a_span),
        (program.block_b_base, program.block_b_span),
    ):
        used = (base >= 0) & (chunks > 0)
        panels = np.unique(np.column_stack([wave[used], base[used], span[used], chunks[used]]), axis=0)
        owner, entry = _ranges(panels[:, 2], panels[:, 3])
        touch, tile = _ranges(panels[owner, 1] + program.span_first[entry], program.span_count[entry])
        pairs.append(np.unique(panels[owner[touch], 0] * tiles + tile))
    distinct = np.unique(np.concatenate(pairs))
    return distinct // tiles, distinct % tiles


def _ranges(first: IntArray, count: IntArray) -> tuple[IntArray, IntArray]:
    """Elements of the ranges that begin at `first`, and the range that each belongs to."""
    owner = np.repeat(np.arange(len(first)), count)
    begin = np.cumsum(count) - count
    return owner, first[owner] + np.arange(len(owner)) - begin[owner]

"""Random device programs for property tests: small, and rich in ties and in everything that the device can do."""

import numpy as np
from hypothesis import strategies as st

from accelsim.machine.gemm.program import DeviceProgram, IntArray


def _ints(draw: st.DrawFn, count: int, low: int, high: int) -> IntArray:
    return np.array(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)), np.int64)


@st.composite
def random_program(draw: st.DrawFn) -> DeviceProgram:
    """Machines of 1-4 SMs, up to 4 launches in streams, up to 5 thread blocks each, tiles that they share."""
    launches = draw(st.integers(1, 4))
    counts = _ints(draw, launches, 0, 5) * _ints(draw, launches, 0, 3).clip(max=1)
    blocks, tiles, channels = int(counts.sum()), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    window = _ints(draw, launches, 1, 4)
    longer = _ints(draw, launches, 0, 2)
    per_chunk = np.where(longer == 0, 1, window + longer - 1)
    order = draw(st.permutations(range(launches)))
    after = np.full(launches, -1)
    for place in range(1, launches):
        after[order[place]] = draw(st.sampled_from([-1, *order[:place]]))
    steps = _ints(draw, blocks, 0, 12)
    entries = 4
    span_first = _ints(draw, entries + 12, 0, tiles - 1)
    span_count = np.minimum(_ints(draw, entries + 12, 0, 3), tiles - span_first)
    tile_bytes = _ints(draw, tiles, 0, 40)
    capacity = draw(st.integers(0, 150))
    warm = np.array(draw(st.permutations(range(tiles))), np.int64)[: draw(st.integers(0, tiles))]
    warm = warm[np.cumsum(tile_bytes[warm]) <= capacity]
    has_a, has_b = _ints(draw, blocks, -1, 2), _ints(draw, blocks, -1, 2)
    return DeviceProgram(
        sm_count=draw(st.integers(1, 4)),
        max_blocks_per_sm=draw(st.integers(1, 3)),
        shared_bytes_per_sm=100,
        registers_per_sm=100,
        threads_per_sm=100,
        l2_capacity=capacity,
        l2_latency=draw(st.integers(0, 30)),
        dram_latency=draw(st.integers(0, 30)),
        channels=channels,
        block_setup=draw(st.integers(0, 5)),
        write_backlog=draw(st.sampled_from([0, 3, 20, 1000])),
        launch_release=_ints(draw, launches, 0, 60) * _ints(draw, launches, 0, 1),
        launch_after=after,
        launch_gap=_ints(draw, launches, 0, 20) * _ints(draw, launches, 0, 1),
        launch_first_block=np.cumsum(counts) - counts,
        launch_block_count=counts,
        launch_shared_bytes=_ints(draw, launches, 0, 100),
        launch_registers=_ints(draw, launches, 0, 50),
        launch_threads=_ints(draw, launches, 1, 50),
        launch_window=window,
        launch_steps_per_chunk=per_chunk,
        block_steps=steps,
        block_compute=_ints(draw, blocks, 0, 8),
        block_shared=_ints(draw, blocks, 0, 10),
        block_conflict=_ints(draw, blocks, 0, 4),
        block_port=_ints(draw, blocks, 0, 8),
        block_l2=_ints(draw, blocks, 0, 4),
        block_load_bytes=_ints(draw, blocks, 0, 50),
        block_a_base=np.where(has_a < 0, -1, 0),
        block_a_span=_ints(draw, blocks, 0, entries),
        block_b_base=np.where(has_b < 0, -1, 0),
        block_b_span=_ints(draw, blocks, 0, entries),
        block_epilogue=_ints(draw, blocks, 1, 12),
        block_epilogue_l2=_ints(draw, blocks, 0, 6),
        block_epilogue_dram=_ints(draw, blocks, 0, 6),
        block_epilogue_bytes=_ints(draw, blocks, 0, 50),
        span_first=span_first,
        span_count=span_count,
        tile_bytes=tile_bytes,
        tile_dram=_ints(draw, tiles, 0, 20),
        tile_channel=_ints(draw, tiles, 0, channels - 1),
        tile_channels=_ints(draw, tiles, 1, channels),
        warm_tiles=warm,
    )

"""What both engines demand of a `DeviceProgram` before they run it."""

import numpy as np

from accelsim.machine.gemm.program import DeviceProgram, IntArray


def chunk_counts(program: DeviceProgram) -> IntArray:
    """Chunks of every thread block, [B]: its k-steps over `launch_steps_per_chunk`, rounded up."""
    per_chunk = np.repeat(program.launch_steps_per_chunk, program.launch_block_count)
    result: IntArray = -(-program.block_steps // per_chunk)
    return result


def check_program(program: DeviceProgram) -> None:
    """Refuse a program that no device could run.

    Raises
    ------
    ValueError
        Launches that do not cover the thread blocks in order, a thread block that fits no empty SM, a chunk shorter
        than the window, negative times, spans or tiles out of range, warm tiles larger than L2.
    """
    _check_machine(program)
    _check_launches(program)
    _check_blocks(program)
    chunks = chunk_counts(program)
    _check_spans(program, "A", program.block_a_base, program.block_a_span, chunks)
    _check_spans(program, "B", program.block_b_base, program.block_b_span, chunks)
    _check_tiles(program)


def _demand(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_machine(program: DeviceProgram) -> None:
    for name in ("sm_count", "max_blocks_per_sm", "channels"):
        _demand(getattr(program, name) >= 1, f"{name} must be at least 1, not {getattr(program, name)}")
    for name in ("l2_capacity", "l2_latency", "dram_latency", "block_setup"):
        _demand(getattr(program, name) >= 0, f"{name} must not be negative, but is {getattr(program, name)}")
    _demand(program.sm_count < 1 << 16, f"sm_count must be below 65536, not {program.sm_count}")
    _demand(program.max_blocks_per_sm < 1 << 12, f"max_blocks_per_sm must be below 4096: {program.max_blocks_per_sm}")
    _demand(len(program.block_steps) < 1 << 32, "more than 2^32 thread blocks in one program")


def _check_launches(program: DeviceProgram) -> None:
    count = program.launch_block_count
    _demand(bool(np.all(count >= 0)), "launch_block_count must not be negative")
    before = np.cumsum(count) - count
    _demand(
        bool(np.all(program.launch_first_block[count > 0] == before[count > 0]))
        and int(count.sum()) == len(program.block_steps),
        "launches must cover the thread blocks in order, without gap or overlap",
    )
    after = program.launch_after
    _demand(bool(np.all((after >= -1) & (after < len(after)))), "launch_after names a launch that does not exist")
    for name in ("launch_release", "launch_gap", "launch_shared_bytes", "launch_registers", "launch_threads"):
        _demand(bool(np.all(getattr(program, name) >= 0)), f"{name} must not be negative")
    _demand(bool(np.all(program.launch_window >= 1)), "launch_window must be at least 1")
    per_chunk = program.launch_steps_per_chunk
    _demand(
        bool(np.all((per_chunk == 1) | (per_chunk >= program.launch_window))),
        "launch_steps_per_chunk must be 1, or at least launch_window",
    )
    for name, room in (
        ("shared_bytes", program.shared_bytes_per_sm),
        ("registers", program.registers_per_sm),
        ("threads", program.threads_per_sm),
    ):
        need = getattr(program, f"launch_{name}")[count > 0]
        _demand(
            bool(np.all(need <= room)),
            f"a thread block with {int(need.max(initial=0))} {name} never fits an SM with {room}",
        )


def _check_blocks(program: DeviceProgram) -> None:
    blocks = len(program.block_steps)
    for name in (field for field in program.__dataclass_fields__ if field.startswith("block_")):
        values = getattr(program, name)
        if name == "block_setup":
            continue
        _demand(len(values) == blocks, f"{name} has {len(values)} entries for {blocks} thread blocks")
        if not name.endswith("_base"):
            _demand(bool(np.all(values >= 0)), f"{name} must not be negative")
    _demand(bool(np.all(program.block_epilogue >= 1)), "block_epilogue must be at least 1 tick")


def _check_spans(program: DeviceProgram, operand: str, base: IntArray, span: IntArray, chunks: IntArray) -> None:
    _demand(len(program.span_first) == len(program.span_count), "span_first and span_count differ in length")
    _demand(bool(np.all(program.span_count >= 0)), "span_count must not be negative")
    used = (base >= 0) & (chunks > 0)
    first, last = span[used], span[used] + chunks[used]
    _demand(bool(np.all(last <= len(program.span_first))), f"a span entry of operand {operand} does not exist")
    if len(first) == 0:
        return
    bounds = np.column_stack([first, last]).ravel()
    # reduceat wants every bound to be an index, so one entry that changes nothing stands behind the last.
    top = np.append(program.span_first + program.span_count, np.iinfo(np.int64).min)
    bottom = np.append(program.span_first, np.iinfo(np.int64).max)
    highest = base[used] + np.maximum.reduceat(top, bounds)[::2]
    lowest = base[used] + np.minimum.reduceat(bottom, bounds)[::2]
    _demand(
        bool(np.all(highest <= len(program.tile_bytes)) and np.all(lowest >= 0)),
        f"a span of operand {operand} reaches tiles that do not exist",
    )


def _check_tiles(program: DeviceProgram) -> None:
    channels = program.channels
    _demand(
        bool(np.all((program.tile_channel >= 0) & (program.tile_channel < channels))),
        f"tile_channel must lie below {channels}",
    )
    _demand(
        bool(np.all((program.tile_channels >= 1) & (program.tile_channels <= channels))),
        f"tile_channels must lie between 1 and {channels}",
    )
    _demand(bool(np.all(program.tile_bytes >= 0) and np.all(program.tile_dram >= 0)), "tiles must not be negative")
    warm = program.warm_tiles
    _demand(bool(np.all((warm >= 0) & (warm < len(program.tile_bytes)))), "warm_tiles names a tile that does not exist")
    _demand(len(np.unique(warm)) == len(warm), "warm_tiles names a tile twice")
    _demand(int(program.tile_bytes[warm].sum()) <= program.l2_capacity, "warm_tiles are larger than L2")

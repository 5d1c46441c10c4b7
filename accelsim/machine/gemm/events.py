"""The event core: runs a `DeviceProgram` in compiled code. The rule that it follows stands in `twin`."""

import numpy as np
from numpy.typing import NDArray

from accelsim.config.trace import Sampling
from accelsim.machine.gemm import event_core as core
from accelsim.machine.gemm.check import check_program, chunk_counts
from accelsim.machine.gemm.program import Cause, DeviceProgram, DeviceRun
from accelsim.machine.gemm.record import BINS, DeviceRecord, device_record, step_parts

Table = NDArray[np.int64]


def run_events(program: DeviceProgram) -> DeviceRun:
    """Simulate a program event by event.

    Parameters
    ----------
    program : DeviceProgram
        Launches, thread blocks and operand tiles; times in ticks.

    Returns
    -------
    DeviceRun
        Equal to what `accelsim.machine.gemm.twin.run_simpy` returns, field by field.

    Raises
    ------
    ValueError
        The program cannot run on any device (see `check_program`).
    RuntimeError
        Launches wait for each other and never begin.
    """
    check_program(program)
    d, part = _device(program, 0, 0)
    _simulate(program, d, part, None)
    return _outcome(program, d, part)


def record_events(program: DeviceProgram, sampling: Sampling) -> tuple[DeviceRun, DeviceRecord]:
    """Simulate a program event by event, and record what happens when.

    Parameters
    ----------
    program : DeviceProgram
    sampling : Sampling
        SMs to record, and rows at most.

    Returns
    -------
    DeviceRun
        That of `run_events`.
    DeviceRecord
        Equal to what `accelsim.machine.gemm.twin.record_simpy` returns, unless rows are lost.
    """
    check_program(program)
    d, part = _device(program, sampling.rows, BINS)
    sampled = sampling.of(program.sm_count)
    part["SMS"][sampled, core.SAMPLED] = 1
    _simulate(program, d, part, 1)
    run = _outcome(program, d, part)
    noted = (int(d[core.RECORD_NEXT]) - int(d[core.RECORD])) // core.RECORD_COLUMNS
    rows, lost = part["RECORD"][:noted], int(d[core.RECORDS_LOST])
    booked = part["SMS"][sampled, core.BOOKED]
    left = np.stack([sampled, *np.broadcast_arrays(Cause.LAUNCH, -1, booked, run.end)], axis=1)[booked < run.end]
    kept = left[: sampling.rows - noted]
    use = part["BINS"].reshape(core.USES, BINS)
    lost += len(left) - len(kept)
    rows = np.concatenate([rows, kept])
    return run, device_record(program, run, sampled, rows, lost, int(d[core.BIN_TICKS]), use)


def _simulate(program: DeviceProgram, d: Table, part: dict[str, Table], record: core.Flag) -> None:
    for launch in np.flatnonzero(program.launch_after < 0):
        core.set_launch(d, d[core.LAUNCHES] + core.LAUNCH_COLUMNS * launch, program.launch_release[launch])
    core.simulate(d, record)
    if d[core.DONE] < len(program.launch_after):
        stuck = np.flatnonzero(part["LAUNCHES"][:, core.L_END] < 0).tolist()
        raise RuntimeError(f"deadlock: launches {stuck} wait for launches that never end")


def _device(program: DeviceProgram, records: int, bins: int) -> tuple[Table, dict[str, Table]]:
    """The array of a device on which nothing has happened yet, and its rows as tables that are views of it.

    It has room for so many records and bins; without bins nothing is recorded.
    """
    per_sm = _most_resident(program)
    slots, launches = program.sm_count * per_sm, len(program.launch_after)
    # Only chunks of one k-step are in flight together; longer ones follow each other.
    depth = int(program.launch_window[program.launch_steps_per_chunk == 1].max(initial=1))
    leaves = 1 << int(slots + launches - 1).bit_length()
    shapes = {
        "SMS": (program.sm_count, core.SM_COLUMNS),
        "SLOTS": (slots, core.SLOT_COLUMNS),
        "RINGS": (slots * depth, core.RING_COLUMNS),
        "LAUNCHES": (launches, core.LAUNCH_COLUMNS),
        "QUEUE": (launches, 1),
        "BLOCKS": (len(program.block_steps), core.BLOCK_COLUMNS),
        "TILES": (len(program.tile_bytes), core.TILE_COLUMNS),
        "ANCHOR": (1, core.TILE_COLUMNS),
        "SPANS": (len(program.span_first), core.PAIR),
        "CHANNELS": (program.channels, core.PAIR),
        "TREE": (2 * leaves, core.PAIR),
        "BINS": (core.USES * bins, 1),
        "RECORD": (records, core.RECORD_COLUMNS),
    }
    d = np.zeros(core.HEADER + sum(rows * columns for rows, columns in shapes.values()), np.int64)
    begin, part = core.HEADER, {}
    for name, (rows, columns) in shapes.items():
        d[getattr(core, name)] = begin
        part[name] = d[begin : begin + rows * columns].reshape(rows, columns)
        begin += rows * columns
    d[core.LEAVES], d[core.SLOT_COUNT], d[core.MAX_BLOCKS] = leaves, slots, per_sm
    d[core.BIN_COUNT], d[core.BIN_TICKS] = bins, 1
    d[core.RECORD_NEXT], d[core.RECORD_END] = d[core.RECORD], begin
    part["SLOTS"][:, core.BLOCK] = -1
    part["SLOTS"][:, core.RING] = d[core.RINGS] + np.arange(slots) * depth * core.RING_COLUMNS
    part["SPANS"][:] = np.column_stack([program.span_first, program.span_count])
    part["TREE"][:] = core.NEVER
    _fill_machine(program, d)
    _fill_launches(program, d, part["LAUNCHES"])
    _fill_blocks(program, d, part["BLOCKS"])
    _fill_tiles(program, d, part["TILES"])
    return d, part


def _most_resident(program: DeviceProgram) -> int:
    """A bound on the thread blocks that one SM holds at a time: by the smallest need for each resource."""
    most = program.max_blocks_per_sm
    for needs, room in (
        (program.launch_shared_bytes, program.shared_bytes_per_sm),
        (program.launch_registers, program.registers_per_sm),
        (program.launch_threads, program.threads_per_sm),
    ):
        least = int(needs[program.launch_block_count > 0].min(initial=room))
        most = min(most, room // least) if least > 0 else most
    return max(1, most)


def _fill_machine(program: DeviceProgram, d: Table) -> None:
    d[core.SM_SHARED] = program.shared_bytes_per_sm
    d[core.SM_REGISTERS] = program.registers_per_sm
    d[core.SM_THREADS] = program.threads_per_sm
    d[core.L2_CAPACITY] = program.l2_capacity
    d[core.L2_LATENCY] = program.l2_latency
    d[core.DRAM_LATENCY] = program.dram_latency
    d[core.SETUP] = program.block_setup
    d[core.WRITE_BACKLOG] = program.write_backlog


def _fill_launches(program: DeviceProgram, d: Table, table: Table) -> None:
    count = program.launch_block_count
    table[:, core.L_RELEASE] = program.launch_release
    table[:, core.L_GAP] = program.launch_gap
    table[:, core.L_FIRST] = program.launch_first_block
    table[:, core.L_COUNT] = table[:, core.L_LEFT] = count
    table[:, core.L_SHARED] = program.launch_shared_bytes
    table[:, core.L_REGISTERS] = program.launch_registers
    table[:, core.L_THREADS] = program.launch_threads
    np.add.at(table[:, core.L_STEPS], _launch_of_block(program), program.block_steps)
    table[:, [core.L_BEGIN, core.L_END, core.L_CHILD, core.L_SIBLING]] = -1
    for index in np.flatnonzero(program.launch_after >= 0):
        parent = program.launch_after[index]
        table[index, core.L_SIBLING] = table[parent, core.L_CHILD]
        table[parent, core.L_CHILD] = d[core.LAUNCHES] + index * core.LAUNCH_COLUMNS


def _launch_of_block(program: DeviceProgram) -> Table:
    return np.repeat(np.arange(len(program.launch_after)), program.launch_block_count)


def _fill_blocks(program: DeviceProgram, d: Table, table: Table) -> None:
    step, *_ = step_parts(program)
    launch = _launch_of_block(program)
    for column, values in (
        (core.B_STEPS, program.block_steps),
        (core.B_CHUNKS, chunk_counts(program)),
        (core.B_STEP, step),
        (core.B_PORT, program.block_port),
        (core.B_L2, program.block_l2),
        (core.B_A_TILE, _tile_rows(d, program.block_a_base)),
        (core.B_A_SPAN, d[core.SPANS] + program.block_a_span * core.PAIR),
        (core.B_B_TILE, _tile_rows(d, program.block_b_base)),
        (core.B_B_SPAN, d[core.SPANS] + program.block_b_span * core.PAIR),
        (core.B_WINDOW, program.launch_window[launch]),
        (core.B_PER_CHUNK, program.launch_steps_per_chunk[launch]),
        (core.B_EPILOGUE, program.block_epilogue),
        (core.B_EPILOGUE_L2, program.block_epilogue_l2),
        (core.B_EPILOGUE_DRAM, program.block_epilogue_dram),
        (core.B_EPILOGUE_BYTES, program.block_epilogue_bytes),
        (core.B_LAUNCH, d[core.LAUNCHES] + launch * core.LAUNCH_COLUMNS),
    ):
        table[:, column] = values


def _tile_rows(d: Table, tile: Table) -> Table:
    return np.where(tile < 0, -1, d[core.TILES] + tile * core.TILE_COLUMNS)


def _fill_tiles(program: DeviceProgram, d: Table, table: Table) -> None:
    table[:, core.T_BYTES] = program.tile_bytes
    table[:, core.T_DRAM] = program.tile_dram
    table[:, core.T_CHANNEL] = program.tile_channel
    table[:, core.T_CHANNELS] = program.tile_channels
    warm = _tile_rows(d, program.warm_tiles)
    ring = np.concatenate([[d[core.ANCHOR]], warm])
    d[ring + core.T_NEWER], d[ring + core.T_OLDER] = np.roll(ring, -1), np.roll(ring, 1)
    d[warm + core.T_RESIDENT] = 1
    d[core.L2_USED] = program.tile_bytes[program.warm_tiles].sum()


def _busy_until(end: int, channels: Table) -> Table:
    """Busy time of channels before `end`: beyond it lies what is left of the writes, without a gap."""
    busy: Table = channels[:, core.CHANNEL_BUSY] - np.maximum(channels[:, core.CHANNEL_FREE] - end, 0)
    return busy


def _outcome(program: DeviceProgram, d: Table, part: dict[str, Table]) -> DeviceRun:
    launch, block, sm = part["LAUNCHES"], part["BLOCKS"], part["SMS"]
    end = int(launch[:, core.L_END].max(initial=0))
    time = sm[:, core.TIME :].copy()
    time[:, Cause.LAUNCH] += end - sm[:, core.BOOKED]
    _, compute, shared, conflict = step_parts(program)
    for cause, ticks in ((Cause.COMPUTE, compute), (Cause.SHARED_MEMORY, shared), (Cause.BANK_CONFLICT, conflict)):
        np.add.at(time[:, cause], block[:, core.B_SM], ticks * program.block_steps)
    return DeviceRun(
        end=end,
        launch_begin=launch[:, core.L_BEGIN].copy(),
        launch_end=launch[:, core.L_END].copy(),
        block_sm=block[:, core.B_SM].copy(),
        block_dispatch=block[:, core.B_DISPATCH].copy(),
        block_end=block[:, core.B_END].copy(),
        sm_time=time,
        l2_read_bytes=int((program.block_steps * program.block_load_bytes).sum()),
        l2_write_bytes=int(program.block_epilogue_bytes.sum()),
        dram_read_bytes=int(d[core.DRAM_READ]),
        dram_write_bytes=int(d[core.DRAM_WRITE]),
        l2_busy=int(d[core.L2_BUSY]),
        channel_busy=_busy_until(end, part["CHANNELS"]),
        steps=int(program.block_steps.sum()),
        events=int(d[core.EVENTS]),
    )

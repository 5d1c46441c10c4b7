"""Row blocks of HDP's stages, told when they are asked for."""

from typing import Any

import numpy as np
from hypothesis import given, settings

from accelsim.machine.attention.hdp_pipeline import Stage, simulate_hdp
from tests.machine.attention.test_hdp_timing import make_unit, make_work, units

GROUPED = (Stage.INTEGER_SCORES, Stage.SPARSITY, Stage.CROSS, Stage.SOFTMAX, Stage.VALUES)


def test_row_blocks_are_told_on_request_alone() -> None:
    unit, work = make_unit(), make_work()
    plain, told = simulate_hdp(unit, work), simulate_hdp(unit, work, record=True)
    assert plain.groups is None
    assert told.groups is not None
    assert told.end_ps == plain.end_ps
    assert (told.core_account_ps == plain.core_account_ps).all()


@settings(deadline=None, max_examples=40)
@given(units)
def test_row_blocks_fill_their_stage_in_order(changes: dict[str, Any]) -> None:
    run = simulate_hdp(make_unit(**changes), make_work(), record=True)
    assert run.groups is not None
    for row in np.flatnonzero(np.isin(run.stage_kind, GROUPED)):
        head, core, kind = run.stage_head[row], run.stage_core[row], run.stage_kind[row]
        own = run.groups[(run.groups[:, 2] == head) & (run.groups[:, 3] == core) & (run.groups[:, 4] == kind)]
        own = own[np.argsort(own[:, 5])]
        assert own[:, 5].tolist() == list(range(len(own)))
        assert (own[0, 0], own[-1, 1]) == (run.stage_begin_ps[row], run.stage_end_ps[row])
        assert (own[1:, 0] >= own[:-1, 1]).all()

"""The figure of docs/trace.md: thread blocks of a product, use of servers, and stages of heads."""

import accelsim
from accelsim.show.style import figure_bytes
from accelsim.show.timeline import timeline_figure


def trace_figures() -> dict[str, bytes]:
    """The figure by path from the root: a sequence that gives each SM and each core more than one thing to do."""
    sets = ["workload.sequence=384", "hardware.attention_unit.cores=4"]
    sampling = accelsim.Sampling(sms=2)
    result = accelsim.run("a100_hdp", "bert_base_layer", scheme="hdp", sets=sets, trace=sampling)
    assert result.timeline is not None
    return {"docs/images/timeline.png": figure_bytes(timeline_figure(result.timeline), "png")}

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour in ten minutes
#
# **What the papers say.** Tile-wise sparsity prunes weights so that every tile of a GEMM stays dense, and existing
# tensor cores run it faster ([arXiv 2008.13006](https://arxiv.org/abs/2008.13006)). Hybrid dynamic pruning, HDP,
# judges blocks and heads of attention by cheap integer scores while the model runs, on a unit of its own ([arXiv
# 2407.12893](https://arxiv.org/abs/2407.12893)).
#
# **What is reproduced.** One question for each part of the tool: what comes out, how long it takes, where the time
# goes, what it costs in energy and in answers. The other notebooks go deeper; the last cell says where.
#
# **Machine and data.** Machines and workloads that ship with the package: a V100, an A100 with an HDP unit of
# illustrative sizes, six attention units, and a small vision transformer with its test images. Nothing is downloaded.
#
# **How far it agrees.** One product of the tile-wise paper's artifact, and the widths within which held-out
# measurements of each fitted GPU lie, are the last cells but one.

# %%
import common
import numpy as np
import pandas as pd
from IPython.display import display

import accelsim
from accelsim.config.accuracy import REGIMES
from accelsim.config.loader import load_accuracy, load_config
from accelsim.config.workload import GemmWorkload
from accelsim.explore.attention import compare_attention
from accelsim.explore.sweep import Sweep, SweepSpec, run_sweep
from accelsim.results.explain import explain
from accelsim.show.attention import throughput_axes
from accelsim.show.explain import loss_waterfall
from accelsim.show.figures import comparison_figure, energy_bars, latency_bars
from accelsim.show.style import label_of, new_figure, style
from accelsim.show.sweeps import sweep_figure

# %% [markdown]
# ## Describe
#
# Machines and workloads are YAML files, every figure with its source or the word *default*. `RunConfig` is both
# together with a scheme; anything in it can be set.

# %%
config = load_config("v100_pcie", "gemm_1024", scheme="tile_wise", sets=["tile_wise.sparsity=0.75"])
gpu = config.hardware.gpu
display(
    pd.DataFrame(
        {
            "value": {
                "SMs": gpu.sm_count, "clock (GHz)": gpu.clock / 1e9, "DRAM (GB/s)": gpu.dram.bandwidth / 1e9,
                "product": f"{config.workload.m} x {config.workload.n} x {config.workload.k}",
                "sparsity": config.tile_wise.sparsity, "granularity": config.tile_wise.granularity,
            },
        }
    )
)  # fmt: skip
cited = [path for path, source in gpu.sources.items() if not source.startswith("default")]
common.say(f"{len(cited)} figures of `{gpu.name}` name a source, {len(gpu.sources) - len(cited)} are defaults.")

# %% [markdown]
# ## Run
#
# One run prunes real weights, multiplies what is left, simulates the machine that does so, and adds up energy. The
# output is compared with a dense product in float64, so that its error tells what pruning did; these weights are drawn
# from a seed and were never trained for it.

# %%
result = accelsim.run("v100_pcie", "gemm_1024", scheme="tile_wise", sets=["tile_wise.sparsity=0.75"])
keys = ("latency_us", "latency_low_us", "latency_high_us", "energy_uj", "macs", "effectual_macs", "max_rel_error")
display(pd.DataFrame({"tile_wise": {key: result.summary[key] for key in keys}}).map("{:,.6g}".format))
account = result.account[result.account["share_percent"] > 0]
display(account[["cause", "time_us", "share_percent"]].round(2).set_index("cause"))
assert np.isclose(account["time_us"].sum(), result.value("latency_us"))

# %% [markdown]
# The account has a timer for every cause, and they add up to the latency exactly. The interval is where 80 % of
# measurements are expected, by errors on measured products that took no part in a fit.
#
# ## Compare
#
# Eight inputs through a layer of BERT-Base on an A100 with an HDP unit beside it: dense, tile-wise weights, HDP, and
# both. Times need no values, so none are computed here; HDP's masks are then drawn at a ratio that we name. Nothing was
# published for this system, whose HDP unit has illustrative sizes.

# %%
layer = accelsim.compare(
    "a100_hdp", "bert_base_layer", schemes=["dense", "tile_wise", "hdp", "tile_wise+hdp"], values=False,
    sets=["workload.batch=8", "hdp.block_ratio=0.7", "hdp.head_ratio=0"],
)  # fmt: skip
with style():
    figure = new_figure(9.0, 3.7)
    left, right = figure.subplots(1, 2)
    latency_bars(layer, left).set_title("a  Latency, with intervals where they are known")
    energy_bars(layer, right).set_title("b  Energy")
common.show(figure, "tour_compare")
speeds = {one.scheme: layer.ratios(one)["speedup"] for one in layer.results}
common.say(
    "Speed-up over dense: " + ", ".join(f"{label_of(name)} {speed:.2f}x" for name, speed in speeds.items()) + "."
)

# %% [markdown]
# ## Explain
#
# Three quarters of the weights are gone, and the layer is not four times as fast. The waterfall begins at the dense
# time of what is left, and each step is a cause that did not shrink as the work did; together they are the whole
# difference. `accelsim explain` prints the same.

# %%
explained = {one.result.scheme: one for one in explain(list(layer.results))}["tile_wise"]
with style():
    figure = new_figure(6.4, 3.3)
    loss_waterfall(explained, figure.subplots())
common.show(figure, "tour_explain")
largest = max(explained.losses.losses, key=explained.losses.losses.get)
common.say(f"The largest loss is *{label_of(largest)}*. Losses add up to the latency without remainder.")
assert explained.losses.ideal_ps + sum(explained.losses.losses.values()) == explained.losses.actual_ps

# %% [markdown]
# ## Sweep
#
# A grid over anything that can be set. Records are kept as they end, so that a sweep into a folder resumes.

# %%
grid = {
    "tile_wise.sparsity": [0.5, 0.75, 0.9],
    "tile_wise.granularity": [32, 128] if common.QUICK else [16, 32, 64, 128],
}
spec = SweepSpec(
    kind="sweep", name="tour", hardware="v100_pcie", workload="gemm_1024", scheme="tile_wise", values=False, grid=grid
)
points = run_sweep(Sweep(spec, None)).to_frame()
common.show(sweep_figure(points, list(grid)), "tour_sweep")

# %% [markdown]
# ## Attention units
#
# Six units on the same Q, K and V, each with its own pruning and pipeline, at the share that publications cite for it.
# Diamonds are published throughputs at 128 multipliers, of conditions of their own; where there is none, none was
# found. [hdp_accelerator](hdp_accelerator.ipynb) goes into what such figures count.

# %%
units = ["hdp_edge", "a3", "spatten_eighth", "sanger", "energon", "acceltran_edge"]
found = compare_attention(units, sequences=[64 if common.QUICK else 128])
with style():
    figure = new_figure(6.4, 3.4)
    throughput_axes(found.to_frame(), figure.subplots())
common.show(figure, "tour_attention")
table = found.to_frame().set_index("unit")[["keep_ratio", "latency_us", "energy_uj", "rms_rel_error"]]
table = table.assign(keep_ratio=100 * table["keep_ratio"], rms_rel_error=100 * table["rms_rel_error"])
display(table.set_axis(["kept (%)", "latency (us)", "energy (uJ)", "rms error (%)"], axis=1).round(1))

# %% [markdown]
# ## Answers
#
# Errors of outputs say little; answers do. A vision transformer of 64 tokens reads handwritten digits; its trained
# weights and test images come with the package, and every number of the forward pass is computed as the machine would:
# tile-wise weights, HDP's fixed point, its approximate softmax. How it was trained is logged in `workloads/models`.

# %%
images = 20 if common.QUICK else 100
digits = accelsim.compare(
    "edge_hdp", "digits_vit", schemes=["dense", "tile_wise", "hdp", "tile_wise+hdp"],
    sets=[f"workload.images={images}"],
)  # fmt: skip
common.show(comparison_figure(digits), "tour_digits")
answers = pd.DataFrame({
    label_of(one.scheme): {
        f"right of {images}": round(one.value("accuracy") * images),
        "weights pruned (%)": 100 * (one.summary["weight_sparsity"] or 0),
        "blocks pruned (%)": 100 * (one.summary["block_ratio"] or 0),
        "latency of a batch (us)": one.value("latency_us"), "energy (uJ)": one.value("energy_uj"),
    }
    for one in digits.results
}).T  # fmt: skip
display(answers.round(1))
ratio = digits["hdp"].value("latency_us") / digits["dense"].value("latency_us")
common.say(
    f"HDP takes {ratio:.2f} times the dense latency here, with "
    f"{100 * digits['hdp'].summary['block_ratio']:.0f} % of the blocks pruned. "
    f"{images} images do not tell single answers from chance: [hdp_pruning](hdp_pruning.ipynb) and "
    "[tradeoff](tradeoff.ipynb) have intervals."
)

# %% [markdown]
# ## How far it agrees
#
# One product of a BERT layer from the tile-wise paper's artifact, on a V100: dense and tile-wise at 75 %. Its dense
# time took part in the fit of two figures of the kernel menu, its tile-wise time in none. All of the published
# products, and what does not agree, are in [tile_wise_v100](tile_wise_v100.ipynb).

# %%
published = common.published("tile_wise_v100")
point = published["gemms"][1]
product = GemmWorkload(kind="gemm", name=point["name"], m=point["m"], n=point["n"], k=point["k"], launch="sync")
library = "hardware.library=cutlass_volta"
pruning = [f"tile_wise.sparsity={published['sparsity']}", f"tile_wise.granularity={published['granularity']}"]
dense = accelsim.run("v100_pcie", product, sets=[library], values=False).value("latency_us")
sparse = accelsim.run(
    "v100_pcie", product, scheme="tile_wise", sets=[library, *pruning, "tile_wise.strategy=stream"], values=False
).value("latency_us")
rows = {
    "dense (us)": (point["dense_us"], dense),
    "tile-wise (us)": (point["tile_wise_us"], sparse),
    "speed-up": (point["dense_us"] / point["tile_wise_us"], dense / sparse),
}
display(
    pd.DataFrame({
        name: {"published": f"{theirs:.4g}", "ours": f"{ours:.4g}", "off": common.off(ours, theirs)}
        for name, (theirs, ours) in rows.items()
    }).T
)  # fmt: skip
print(published["source"])

# %% [markdown]
# And what a prediction is worth on each fitted GPU: measured over predicted latency on held-out rows of public tables.
# Eight of ten lie between *low* and *high*; `run`, `compare` and `sweep` carry these widths on every latency.

# %%
held_out = []
for name in ("a100_sxm4_80gb", "h100_sxm5", "v100_sxm2", "t4"):
    for regime, spread in load_accuracy(f"accuracy_{name}").engines["events"].items():
        held_out.append((name, REGIMES.get(regime, regime), spread.n, spread.low, spread.median, spread.high))
columns = ["GPU", "regime", "rows", "low", "median", "high"]
display(pd.DataFrame(held_out, columns=columns).set_index(["GPU", "regime"]).round(2))

# %% [markdown]
# ## Where to go next
#
# | question | |
# |---|---|
# | Does tile-wise pay? | [tile_wise_v100](tile_wise_v100.ipynb), [tile_wise_execution](tile_wise_execution.ipynb) |
# | How wide should tiles be? | [tile_wise_granularity](tile_wise_granularity.ipynb) |
# | Which patterns are there? | [tile_wise_patterns](tile_wise_patterns.ipynb) |
# | What does HDP prune, and what does that cost? | [hdp_pruning](hdp_pruning.ipynb) |
# | How does its unit compare with others? | [hdp_accelerator](hdp_accelerator.ipynb) |
# | Which of all that is worth it, for a batch and for a service? | [tradeoff](tradeoff.ipynb) |
# | How far may predictions be trusted? | [validation](validation.ipynb), [docs/validation.md](../docs/validation.md) |
# | My own GPU, unit, pattern or model | [docs/index.md](../docs/index.md) |
#
# The same from a shell: `accelsim run`, `compare`, `explain`, `sweep`, `attention compare`, `tradeoff`, `serve`,
# `report`; each has `--help`.

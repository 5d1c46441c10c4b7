"""Hand-made results for tests of what comes after a run: small, consistent, with made-up numbers."""

import numpy as np
import pandas as pd

from accelsim.results import Comparison, Result

CAUSES = (
    "launch",
    "prologue",
    "compute",
    "shared_memory",
    "bank_conflict",
    "l2",
    "dram",
    "epilogue",
    "imbalance",
    "tail",
)
SCHEMES = ("dense", "tile_wise", "hdp", "tile_wise+hdp")
_GEMM_US = {"dense": 40.0, "tile_wise": 18.0, "hdp": 40.0, "tile_wise+hdp": 18.0}
_ATTENTION_US = {"dense": 12.0, "tile_wise": 12.0, "hdp": 7.5, "tile_wise+hdp": 7.5}
_ERROR = {"dense": 0.0004, "tile_wise": 0.21, "hdp": 0.035, "tile_wise+hdp": 0.23}


def kernels(scheme: str) -> pd.DataFrame:
    """Six launches one after another, 1 us between them; attention of HDP runs on its unit between two transfers."""
    on_unit = "hdp" in scheme
    steps = [("qkv", "gpu", "gemm", _GEMM_US[scheme] * 0.4)]
    steps += [("to_unit", "link", "transfer", 1.5)] if on_unit else []
    steps += [("attention", "attention_unit" if on_unit else "gpu", "attention", _ATTENTION_US[scheme])]
    steps += [("to_gpu", "link", "transfer", 1.5)] if on_unit else []
    steps += [("add_norm", "gpu", "elementwise", 3.0), ("ffn", "gpu", "gemm", _GEMM_US[scheme] * 0.6)]
    rows, now = [], 1.0
    for name, device, part, duration in steps:
        rows.append({"name": name, "device": device, "part": part, "begin_us": now, "end_us": now + duration})
        now += duration + 1.0
    return pd.DataFrame(rows)


def account(scheme: str, cycles: int) -> pd.DataFrame:
    """Ten causes of 108 SMs that add up to the whole, and three of the attention unit where it works."""
    weights = np.array([12, 6, 40, 4, 2, 9, 14, 4, 3 if "tile_wise" in scheme else 0, 6])
    total = cycles * 108
    parts = total * weights // weights.sum()
    parts[2] += total - parts.sum()
    rows = [
        ("gpu", cause, int(part), part / 108e6, 100 * part / total) for cause, part in zip(CAUSES, parts, strict=True)
    ]
    if "hdp" in scheme:
        rows += [
            ("attention_unit", name, 100 * share, share / 1e4, float(share))
            for name, share in (("cross", 55), ("idle", 45))
        ]
    return pd.DataFrame(rows, columns=["device", "cause", "time_total_ps", "time_us", "share_percent"])


def energy(scheme: str) -> pd.DataFrame:
    """Energy of a few actions, scaled with the scheme's work."""
    work = _GEMM_US[scheme] / 40
    rows = [
        ("gpu", "tensor_mac_fp16", 9.3e8 * work, 600.0 * work, "made up"),
        ("gpu", "shared_byte", 6e7 * work, 120.0 * work, "made up"),
        ("gpu", "l2_byte", 4e7 * work, 180.0 * work, "made up"),
        ("gpu", "dram_byte", 1.4e7 * work, 420.0 * work, "made up"),
        ("gpu", "cuda_flop", 1e6, 14.0, "default"),
        ("gpu", "leakage", 55.0, 55.0 * _GEMM_US[scheme], "default"),
    ]
    if "hdp" in scheme:
        rows += [("attention_unit", "bit_product", 2e9, 4.0, "made up"), ("link", "link_byte", 4e5, 9.0, "default")]
    return pd.DataFrame(rows, columns=["component", "action", "count", "energy_uj", "source"])


def units(latency: float) -> pd.DataFrame:
    """Three units of the GEMM device."""
    rows = [("sms", "gpu", 0.6 * latency), ("l2", "gpu", 0.3 * latency), ("dram", "gpu", 0.2 * latency)]
    frame = pd.DataFrame(rows, columns=["unit", "device", "busy_us"])
    return frame.assign(utilisation_percent=100 * frame["busy_us"] / latency)


def example(scheme: str = "dense", **changes: object) -> Result:
    """A result of a made-up run; `changes` replace entries of its summary."""
    launches = kernels(scheme)
    latency = float(launches["end_us"].max())
    cycles = round(latency * 1410)
    table = energy(scheme)
    pruned = 600_000_000 if "tile_wise" in scheme else 0
    summary: dict[str, object] = {
        "scheme": scheme, "hardware": "a100_hdp", "workload": "bert_base_layer", "engine": "events", "cycles": cycles,
        "latency_us": latency, "energy_uj": float(table["energy_uj"].sum()), "macs": 931_135_488,
        "effectual_macs": 931_135_488 - pruned, "skipped_macs": pruned, "max_rel_error": _ERROR[scheme],
        "attention_latency_us": _ATTENTION_US[scheme], "attention_macs": 25_165_824, "accuracy": None, "items": 1,
        "items_per_s": 1e6 / latency, "bit_macs": 1_000 if "hdp" in scheme else None,
        "integer_products": 9 if "hdp" in scheme else None, "cross_products": 5 if "hdp" in scheme else None,
        "fraction_products": 0 if "hdp" in scheme else None, "score_products": 0 if "hdp" in scheme else None,
        **{
            f"{kind}_bit_macs": 0.5 if "hdp" in scheme else None
            for kind in ("integer", "cross", "fraction", "score", "value")
        },
        "value_products": 4 if "hdp" in scheme else None, "block_ratio": 0.5 if "hdp" in scheme else None,
        "head_ratio": 0.0 if "hdp" in scheme else None, "weight_sparsity": 0.75 if pruned else 0.0, "seed": 0,
        "values": True, "operands": "normal, standard deviation 1, seed 0", "area_mm2": None, "dram_bytes": 14_000_000,
        "launches": len(launches),
    }  # fmt: skip
    config = {
        "hardware": {"gpu": {"clock": "1.41e9 Hz", "sources": {"clock": "datasheet", "l2.port": "default: a guess"}}}
    }
    return Result(
        summary=summary | changes,
        kernels=launches,
        units=units(latency),
        account=account(scheme, cycles),
        energy=table,
        output=np.arange(12, dtype=np.float32).reshape(3, 4),
        masks={"ffn": np.eye(4, dtype=bool)} if pruned else {},
        provenance={"config": config, "accelsim": "0.1.0", "seed": 0, "config_hash": "ab" * 32},
    )


def comparison(schemes: tuple[str, ...] = SCHEMES, **changes: object) -> Comparison:
    """A comparison of made-up runs."""
    return Comparison(tuple(example(scheme, **changes) for scheme in schemes), example("dense", **changes))

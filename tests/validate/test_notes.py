"""Notes of measured tables: every form in use is understood, and what is not is kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.validate.notes import Conditions, parse_notes

FORMS = {
    "trtllm_1.0.0;cuda_graph": Conditions(library="cublas", stack="trtllm", launch="graph", copies=6),
    "vllm_0.14.0;cuda_graph": Conditions(library="cublas", stack="vllm", launch="graph", copies=6),
    "sglang_0.5.10;cuda_graph": Conditions(library="cublas", stack="sglang", launch="graph", copies=6),
    "train/DeepBench_NV_V100.xlsx;opA=N;opB=T;colmajor;tensorcore": Conditions(
        library="cublas", op_a="N", op_b="T", order="column", launch="stream", copies=1
    ),
    "cublasGemmEx fp32acc;median over reruns": Conditions(library="cublas"),
    "cuSPARSELt v0.3.0": Conditions(library="cusparselt"),
    "cuSPARSELt;batch=16": Conditions(library="cusparselt"),
    "Spatha V=128 2:10;best tile 128x64x32 stages=2": Conditions(
        library="spatha", pattern="128:2:10", tile=(128, 64, 32), stages=2
    ),
    "CUTLASS1.3 volta884;run1": Conditions(library="cutlass", launch="sync"),
    "CUTLASS;batch=4": Conditions(library="cutlass"),
    "StreamMaskedGEMM;N_pruned=384;K_pruned=1536;sparse=B(weights)": Conditions(
        library="cutlass", launch="sync", strategy="stream"
    ),
    "nn.Linear dense;batch=4 folded into n;2023-04-07": Conditions(library="cublas"),
    "trtllm/1.0.0;torch_flow": Conditions(library="flash_attention", stack="trtllm", copies=6),
    "vllm/0.24.0;vllm_vit_flash_attn_fa3": Conditions(library="flash_attention", stack="vllm", copies=6),
    "sglang/0.5.10;flash_attention": Conditions(library="flash_attention", stack="sglang", copies=6),
    "library=cublas;launch=kernel;copies=3;warm=both;G=64;strategy=merged": Conditions(
        library="cublas", launch="kernel", copies=3, warm="both", granularity=64, strategy="merged"
    ),
    "stack=vllm;launch=stream": Conditions(stack="vllm", launch="stream"),
    "library=spatha;pattern=64:2:8": Conditions(library="spatha", pattern="64:2:8"),
    "CUTLASS;bad kernel (untuned)": Conditions(library="cutlass", flaw="bad kernel (untuned)"),
    "": Conditions(),
}


@pytest.mark.parametrize(("notes", "told"), FORMS.items(), ids=list(FORMS))
def test_every_form_in_use_is_understood(notes: str, told: Conditions) -> None:
    assert parse_notes(notes) == told


def test_what_nobody_knows_is_kept_and_changes_nothing() -> None:
    assert parse_notes("cuda_graph; on a Tuesday;G=0") == Conditions(launch="graph", unknown=("on a Tuesday", "G=0"))


def test_a_later_part_overrides_an_earlier_one() -> None:
    assert parse_notes("cuda_graph;stream").launch == "stream"
    assert parse_notes("trtllm_1.0.0;copies=1").copies == 1


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=40))
def test_any_text_is_taken(text: str) -> None:
    told = parse_notes(text)
    assert all(part in text for part in told.unknown)
    assert parse_notes(text.upper()).launch == parse_notes(text.lower()).launch or not text.isascii()

"""What the program that measures GPUs measures: shapes and cases."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.measure.cases import OPS, Case, Options, build_cases, warm_state
from benchmarks.measure.errors import UsageError
from benchmarks.measure.shapes import Attention, Product, Shapes, default_shapes, quick_shapes, read_shapes


class TestShapes:
    def test_built_in_lists_hold_what_is_promised(self) -> None:
        shapes = default_shapes()
        assert {Product(512, n, k) for n, k in ((768, 768), (2304, 768), (3072, 768), (768, 3072))} <= set(
            shapes.products
        )
        assert {shape.m for shape in shapes.products} >= {1, 2, 4, 8, 16}
        assert Product(2048, 2048, 2048) in shapes.products
        assert any(shape.m % 2 and shape.n % 2 and shape.k % 2 for shape in shapes.products)
        assert {shape.op for shape in shapes.attentions} == {"context", "encoder", "generation"}
        assert set(shapes.sparse) <= set(shapes.products)
        for found in (shapes, quick_shapes()):
            for some in (found.products, found.attentions, found.sparse):
                assert len(set(some)) == len(some) > 0

    def test_a_file_may_mix_products_and_attentions(self, tmp_path: Path) -> None:
        file = tmp_path / "shapes.csv"
        file.write_text(
            "gpu,m,n,k,batch,q_heads,kv_heads,head_dim,q_len,kv_len,causal\n"
            "a,8,16,32,,,,,,,\nb,8,16,32,1,,,,,,\nc,,,,2,8,4,64,128,128,1\n\nd,5,6.0,7,3,,,,,,\n"
        )
        found = read_shapes(file)
        assert found.products == (Product(8, 16, 32), Product(5, 6, 7, 3)) == found.sparse
        assert found.attentions == (Attention(2, 8, 4, 64, 128, 128, 1),)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("m,n\n1,2\n", "line 2: missing column k"),
            ("m,n,k\n1,2,0\n", "line 2: k is '0'"),
            ("m,n,k\n1,2,3\n1,x,3\n", "line 3: n is 'x'"),
            ("m,n,k\n1,2.5,3\n", "n is '2.5'"),
            ("m,n,k\n1,nan,3\n", "n is 'nan'"),
            ("m,n,k\n", "no shapes"),
            ("", "no shapes"),
            ("q_heads,kv_heads,head_dim,q_len,kv_len,causal\n6,4,64,8,8,0\n", "no multiple"),
            ("q_heads,kv_heads,head_dim,q_len,kv_len,causal\n4,4,64,1,8,1\n", "causal needs"),
            ("q_heads,kv_heads,head_dim,q_len,kv_len,causal\n4,4,64,8,8,2\n", "causal is 2"),
        ],
    )
    def test_mistakes_are_named_with_their_line(self, tmp_path: Path, text: str, problem: str) -> None:
        file = tmp_path / "shapes.csv"
        file.write_text(text)
        with pytest.raises(UsageError, match=problem) as raised:
            read_shapes(file)
        assert "shapes.csv" in str(raised.value)

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nowhere"):
            read_shapes(tmp_path / "nowhere.csv")


class TestCases:
    def test_each_operation_has_its_conditions(self) -> None:
        shapes = Shapes((Product(64, 96, 128),), (Attention(1, 4, 4, 64, 32, 32, 1),), (Product(64, 96, 128),))
        found = build_cases(shapes, Options(OPS, ["bf16"], granularities=[32]))
        assert len(found) == len(set(found)) == 1 + 3 + 4 + 2 * 3
        sparse = [case for case in found if case.op == "spmm_2to4"]
        dense = [case for case in found if case.order == "column" and case.op == "gemm"]
        # The weights of a 2:4 product come first, beside a dense product of the same operands.
        assert {case.shape for case in [*sparse, *dense]} == {Product(96, 64, 128)}
        assert {case.library for case in sparse} == {"cusparselt", "cutlass"}
        assert {case.strategy for case in found if case.op == "tilewise"} == {"merged", "padded_batch", "stream"}

    @pytest.mark.parametrize("dtype", ["int8", "tf32", "fp32"])
    def test_no_cases_that_nothing_computes(self, dtype: str) -> None:
        found = build_cases(quick_shapes(), Options(OPS, [dtype], granularities=[32]))
        assert "spmm_2to4" not in {case.op for case in found}
        assert ("tilewise" in {case.op for case in found}) == (dtype != "int8")
        assert any(case.op == "context" for case in found) == (dtype == "fp32")

    def test_bytes_count_what_is_held(self) -> None:
        dense = Case("gemm", "fp16", Product(4, 8, 16), "cublas", "graph", 6, "N", "T", "row")
        assert (dense.weight_bytes, dense.other_bytes) == (8 * 16 * 2, 4 * 16 * 2 + 4 * 8 * 2)
        first = replace(dense, order="column")
        assert (first.weight_bytes, first.other_bytes) == (4 * 16 * 2, 8 * 16 * 2 + 4 * 8 * 2)
        # fp16 2:4: a half of the elements, and 2 bits of position for each that is kept.
        assert replace(first, op="spmm_2to4", sparsity=0.5).weight_bytes == 4 * 16 * 2 * 9 // 16
        assert replace(dense, dtype="int8").other_bytes == 4 * 16 + 4 * 8 * 4

    @pytest.mark.parametrize(
        ("l2", "warm"), [(2**40, "both"), (3_000_000, "activations"), (1000, "none"), (10_000_000, ""), (None, "")]
    )
    def test_state_of_l2_is_told_where_it_is_certain(self, l2: int | None, warm: str) -> None:
        case = Case("gemm", "fp16", Product(64, 1024, 1024), "cublas", "graph", 6, "N", "T", "row")
        assert case.weight_bytes * 6 == 12_582_912
        assert case.other_bytes == 262_144
        assert warm_state(case, l2) == warm

    @pytest.mark.parametrize(
        ("case", "reason"),
        [
            (Case("gemm", "int8", Product(16, 64, 64), "cublas", "graph", 1), "m above 16"),
            (Case("spmm_2to4", "fp16", Product(48, 64, 64), "cutlass", "graph", 1), "32 x 64"),
            (Case("tilewise", "fp16", Product(8, 64, 64), "triton", "graph", 1, granularity=128), "wider"),
            (Case("tilewise", "fp16", Product(65536, 65536, 64), "triton", "graph", 1, granularity=64), r"2\*\*31"),
            (Case("context", "int8", Attention(1, 1, 1, 64, 8, 8, 1), "math", "graph", 1), "no int8"),
        ],
    )
    def test_impossible_cases_say_why(self, case: Case, reason: str) -> None:
        assert reason.replace("\\", "") in case.reason_against()

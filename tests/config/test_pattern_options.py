"""Options of schemes that prune weights, and what a machine may lack for them."""

from pathlib import Path
from typing import get_args

import pytest

from accelsim.cli.options import ALL_SCHEMES
from accelsim.config.documents import ROOTS
from accelsim.config.imagined import imagined_unit, with_imagined_unit
from accelsim.config.loader import load_config, load_hardware
from accelsim.config.options import Defaults
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.patterns import PATTERNS
from accelsim.config.record import config_hash, from_document, gpu_digest, to_document
from accelsim.config.scheme import RunConfig, SchemeName
from accelsim.errors import ConfigError


def test_every_pattern_is_a_scheme_with_options_of_its_name() -> None:
    assert set(PATTERN_OPTIONS) == set(PATTERNS)
    assert set(PATTERN_OPTIONS) < set(get_args(SchemeName))
    assert get_args(SchemeName) == ALL_SCHEMES
    for key, spec in PATTERN_OPTIONS.items():
        assert key in ROOTS
        assert RunConfig.model_fields[key].annotation is Defaults.model_fields[key].annotation is spec
        assert spec().pattern.kind == key


@pytest.mark.parametrize("scheme", list(PATTERN_OPTIONS))
def test_options_survive_a_document(scheme: str) -> None:
    sets = [] if scheme == "n_m" else [f"{scheme}.sparsity=0.625"]
    config = load_config("a100_sxm4_80gb", "gemm_1024", scheme=scheme, sets=sets)
    assert config.pattern_options == getattr(config, scheme)
    assert from_document(to_document(config)) == config
    plain = load_config("a100_sxm4_80gb", "gemm_1024", scheme=scheme)
    assert (config_hash(plain) == config_hash(config)) == (not sets)


def test_options_reach_the_pattern() -> None:
    sets = ["tile_vector_wise.sparsity=0.8", "tile_vector_wise.granularity=32", "tile_vector_wise.streams=4"]
    options = load_config("a100_sxm4_80gb", "gemm_1024", scheme="tile_vector_wise", sets=sets).pattern_options
    assert options is not None
    pattern = options.pattern
    assert (pattern.kind, pattern.total_sparsity) == ("tile_vector_wise", pytest.approx(0.8))
    assert "streams" not in type(pattern).model_fields
    assert load_config("t4", "gemm_1024").pattern_options is None


def test_sparsity_is_short_for_the_scheme_s() -> None:
    config = load_config("t4", "gemm_1024", scheme="block_wise", sparsity=0.25)
    assert (config.block_wise.sparsity, config.tile_wise.sparsity) == (0.25, 0.75)
    assert load_config("t4", "gemm_1024", scheme="tile_wise+hdp", sparsity=0.25).tile_wise.sparsity == 0.25
    with pytest.raises(ConfigError, match=r"block_wise.sparsity: must be less than 1.0, not 1.5"):
        load_config("t4", "gemm_1024", scheme="block_wise", sparsity=1.5)


def test_only_a_missing_unit_that_is_needed_is_imagined() -> None:
    lacking = load_config("t4", "gemm_1024", scheme="n_m", force=True)
    imagined = with_imagined_unit(lacking, "fp16")
    assert imagined.hardware.gpu.sparse_tensor_core == {"fp16": 2}
    assert "t4 does not have" in str(imagined_unit(imagined))
    assert from_document(to_document(imagined)) == imagined
    for config, dtype in (
        (load_config("t4", "gemm_1024", scheme="n_m"), "fp16"),
        (load_config("t4", "gemm_1024", scheme="tile_wise", force=True), "fp16"),
        (load_config("t4", "gemm_1024", scheme="n_m", force=True), "fp32"),
        (load_config("a100_sxm4_80gb", "gemm_1024", scheme="n_m", force=True), "fp16"),
        (load_config("t4", "gemm_1024", scheme="n_m", force=True, sets=["n_m.n=1"]), "fp16"),
    ):
        assert with_imagined_unit(config, dtype) is config
        assert imagined_unit(config) is None


def test_figures_of_sparse_products_leave_errors_of_dense_ones_alone() -> None:
    gpu = load_hardware("a100_sxm4_80gb").gpu
    other = load_hardware("a100_sxm4_80gb", ["hardware.sparse_tensor_core.fp16=1.5"]).gpu
    assert other != gpu
    assert gpu_digest(other) == gpu_digest(gpu)
    elsewhere = load_hardware("a100_sxm4_80gb", ["hardware.sparse_library=cutlass_ampere"]).gpu
    assert elsewhere.sparse_library != gpu.sparse_library
    assert gpu_digest(elsewhere) == gpu_digest(gpu)


def test_a_library_of_sparse_kernels_is_a_menu_like_any_other(tmp_path: Path) -> None:
    menu = "extends: cutlass_ampere\nname: mine\nefficiencies: {{sparse_tensor_core: {}}}\n"
    (tmp_path / "mine.yaml").write_text(menu.format(0.3))
    (tmp_path / "gpu.yaml").write_text("extends: rtx3090\nname: gpu\nsparse_library: mine.yaml\n")
    config = load_config(tmp_path / "gpu.yaml", "gemm_1024", scheme="n_m")
    assert config.hardware.gpu.sparse_library == str(tmp_path / "mine.yaml")
    assert from_document(to_document(config)) == config
    before = config_hash(config)
    (tmp_path / "mine.yaml").write_text(menu.format(0.4))
    assert config_hash(load_config(tmp_path / "gpu.yaml", "gemm_1024", scheme="n_m")) != before
    with pytest.raises(ConfigError, match=r"sparse_library: unknown name 'cusparselt'"):
        load_hardware("a100_sxm4_80gb", ["hardware.sparse_library=cusparselt"])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("hardware.sparse_tensor_core.fp16=0", "must be positive"),
        ("hardware.sparse_tensor_core.fp32=2", "tensor_core.fp32, which is missing"),
        ("hardware.sparse_tensor_core.fp8=2", "fp8"),
    ],
)
def test_rates_that_make_no_sense_are_refused(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_hardware("a100_sxm4_80gb", [text])


def test_a_mistake_in_options_names_them_and_what_was_set() -> None:
    with pytest.raises(ConfigError, match=r"^options of n_m \(with --set n_m.n=5\): n_m: 5:4 keeps more weights"):
        load_config("a100_sxm4_80gb", "gemm_1024", scheme="n_m", sets=["n_m.n=5"])

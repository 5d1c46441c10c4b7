"""Pages say what is true: references match the code, every block runs, and outputs are what is printed now."""

import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip("accelsim.cli", reason="pages are about the command line")

from blocks import blocks_of, run_page, with_outputs, wrapped  # after conftest has made docs/ importable
from generate import FIGURES, PAGES, ROOT, quick_pages

SLOW = ("README.md",)
"""Runs both comparisons, with values."""
EVERY_PAGE = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
PUBLIC = (
    "accelsim",
    "accelsim.explore",
    "accelsim.explore.attention",
    "accelsim.explore.budget",
    "accelsim.explore.serve",
    "accelsim.explore.sweep",
    "accelsim.explore.tune",
    "accelsim.results",
)
UNLISTED = {"SweepSpec", "TuneSpec"}
"""Specs of YAML files, whose keys are in docs/config.md."""
_NUMBER = re.compile(r"^\(?([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(x?\)?)$")


def _marked(path: str) -> object:
    return pytest.param(path, marks=pytest.mark.slow) if path in SLOW else path


def _page(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _same(committed: str, printed: str) -> bool:
    """Word by word; numbers within 1 %, since processors round sums of products in an order of their own."""
    left, right = committed.split(), printed.split()
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        found, expected = _NUMBER.match(one), _NUMBER.match(other)
        if found and expected and found[2] == expected[2]:
            value, wanted = float(found[1].replace(",", "")), float(expected[1].replace(",", ""))
            if abs(value - wanted) > 0.01 * abs(wanted):
                return False
        elif one != other and not (set(one) == {"-"} and set(other) == {"-"}):
            return False
    return True


@pytest.mark.parametrize("path", ["docs/config.md", "docs/cli.md"])
def test_reference_is_up_to_date(path: str) -> None:
    assert _page(path) == quick_pages()[path], "run: python docs/generate.py --quick"


@pytest.mark.parametrize("path", [_marked(path) for path in PAGES])
def test_blocks_run_and_print_what_the_page_shows(path: str, tmp_path: Path) -> None:
    page = _page(path)
    now = [block.text for block in blocks_of(with_outputs(page, tmp_path)) if block.is_output]
    committed = [block for block in blocks_of(page) if block.is_output]
    for block, printed in zip(committed, now, strict=True):
        assert _same(block.text, printed), (
            f"{path}:{block.line} is out of date; run: python docs/generate.py\n{printed}"
        )


def test_nothing_is_left_out_but_installing_fitting_and_clusters() -> None:
    left_out = [
        block.text for path in PAGES for block in blocks_of(_page(path)) if block.language == "sh" and not block.is_run
    ]
    words = ("make ", "pip install", "calibrate-hw", "accuracy-hw", "--scheduler", "trace_processor_shell")
    assert all(any(word in text for word in words) for text in left_out)


def test_make_demo_runs_the_comparisons_that_the_readme_shows() -> None:
    target = re.search(r"^demo:.*\n((?:\t.*\n)+)", _page("Makefile"), re.M)
    assert target is not None
    shown = [
        line
        for block in blocks_of(_page("README.md"))
        for line in block.text.splitlines()
        if line.startswith("accelsim")
    ]
    assert len(shown) == len(FIGURES)
    for line in shown:
        assert line in target[1]


def test_every_command_has_a_section() -> None:
    import typer.main

    from accelsim.cli.entry import app

    commands = {
        name: getattr(command, "commands", {}) for name, command in typer.main.get_command(app).commands.items()
    }
    paths = [f"{name} {below}".strip() for name, group in commands.items() for below in group or [""]]
    headings = re.findall(r"^## accelsim (.+)$", _page("docs/cli.md"), re.M)
    assert sorted(headings) == sorted(paths)
    assert re.findall(r"^<!-- options: (.+) -->\n\n\| ", _page("docs/cli.md"), re.M) == headings


def test_tutorial_explains_every_cause() -> None:
    import accelsim

    account = accelsim.run("a100_hdp", "gemm_1024", values=False, engine="estimate").account
    causes = set(account[account["device"] == "gpu"]["cause"])
    table = _page("docs/tutorial.md").split("| cause |")[1].split("\n\n")[0]
    assert causes <= set(re.findall(r"`(\w+)`", table))


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_links_lead_to_files(path: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", _page(path)):
        assert (ROOT / path).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_no_block_goes_unseen(path: str) -> None:
    """Code of every language that is run stands on pages that are run."""
    runs = [block for block in blocks_of(_page(path)) if block.is_run]
    assert not runs or path in PAGES, f"{path}:{runs[0].line} is run by nothing; list the page in docs/generate.py"


@pytest.mark.parametrize("path", PAGES)
def test_every_yaml_is_read_by_a_command(path: str) -> None:
    """A YAML block names its file, and a later block takes that file, so that it is loaded and thereby checked."""
    blocks = blocks_of(_page(path))
    for number, block in enumerate(blocks):
        if block.language != "yaml" or not block.is_run:
            continue
        name = re.match(r"# (\S+\.yaml)\b", block.text)
        assert name is not None, f"{path}:{block.line} names no file"
        later = [each.text for each in blocks[number + 1 :] if each.is_run]
        assert any(name[1] in text for text in later), f"{path}:{block.line}: nothing takes {name[1]}"


@pytest.mark.parametrize("module", PUBLIC)
def test_the_interface_lists_every_public_name(module: str) -> None:
    page = _page("docs/api.md")
    words = set(re.findall(r"\w+", page))
    assert not set(importlib.import_module(module).__all__) - words - UNLISTED


def test_every_page_has_its_place() -> None:
    """Each page stands in one list of the index, and each of the four ways into the documentation exists."""
    index = _page("docs/index.md")
    trees = "".join(re.findall(r"^```{toctree}\n(.*?)^```", index, re.M | re.S))
    listed = re.findall(r"^(?:.+<)?(\w+)>?$", trees, re.M)
    pages = {path.removeprefix("docs/").removesuffix(".md") for path in EVERY_PAGE if path.startswith("docs/")}
    assert sorted(listed) == sorted(pages - {"index"})
    assert {"Start", "How to", "Background", "Reference"} <= set(re.findall(r"^:caption: (.+)$", index, re.M))


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_small_and_shown(name: str) -> None:
    content = (ROOT / f"docs/images/{name}.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 200_000
    assert f"docs/images/{name}.png" in _page("README.md")


def test_output_follows_its_block(tmp_path: Path) -> None:
    page = "```sh\necho one two\n```\n\n<!-- output -->\n\n```text\nold\n```\n\n```text\nkept\n```\n"
    assert with_outputs(page, tmp_path) == page.replace("old", "one two")


def test_yaml_becomes_a_file_and_python_shares_a_session(tmp_path: Path) -> None:
    page = "```yaml\n# a.yaml\nk: 1\n```\n```python\nx = open('a.yaml').read()\n```\n```python\nprint(len(x))\n```\n"
    printed = [text for _, text in run_page(page, tmp_path)]
    assert printed[-1] == f"{len('# a.yaml') + 1 + len('k: 1') + 1}\n"


@pytest.mark.parametrize("block", ["```sh\nfalse\n```\n", "```sh\naccelsim runn\n```\n", "```python\n1 / 0\n```\n"])
def test_a_failing_block_is_an_error_that_names_its_line(block: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="at line 3"):
        list(run_page(f"# Title\n\n{block}", tmp_path))


def test_a_block_that_is_not_run_says_why(tmp_path: Path) -> None:
    assert list(run_page("<!-- not run: it fails -->\n\n```sh\nfalse\n```\n", tmp_path)) == []


def test_prose_is_folded_and_tables_are_not() -> None:
    prose, table = "word " * 40, "cell  " * 40
    assert max(map(len, wrapped(prose).splitlines())) <= 116
    assert wrapped(table.rstrip()) == table.rstrip() + "\n"


def test_comparison_of_outputs_sees_changes() -> None:
    assert _same("latency 1,000.0 us", "latency  1,001 us")
    assert not _same("latency 1,000.0 us", "latency 1,020 us")
    assert not _same("latency 1 us", "latency 1 ms")

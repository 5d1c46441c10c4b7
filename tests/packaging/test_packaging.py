"""What is installed: every package and data file of the tree, under names that work from any folder."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = {"accelsim.hwconfigs": "hwconfigs", "accelsim.workloads": "workloads"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_the_list_of_packages_is_the_tree(setup: configparser.ConfigParser) -> None:
    listed = [line for line in setup["options"]["packages"].splitlines() if line and not line.startswith("#")]
    tree = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "accelsim").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert sorted(listed) == sorted(tree | set(DATA))
    for package in tree:
        assert (ROOT / Path(*package.split(".")) / "__init__.py").is_file()


def test_the_data_of_the_tree_is_listed(setup: configparser.ConfigParser) -> None:
    for package, folder in DATA.items():
        patterns = setup["options.package_data"][package].split()
        covered = {path for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        assert covered == {path for path in (ROOT / folder).rglob("*") if path.is_file()}


def test_constraints_pin_what_is_required(setup: configparser.ConfigParser) -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    pinned = {pin.split("==")[0].lower() for pin in pins}
    groups = [setup["options"]["install_requires"], setup["options.extras_require"]["test"]]
    for line in "\n".join(groups).split():
        assert re.sub("[-_.]+", "-", line.split(">")[0]).lower() in pinned


def test_a_wheel_works_from_another_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    kept = ["accelsim", "hwconfigs", "workloads", "setup.cfg", "pyproject.toml", "LICENSE", "README.md", "MANIFEST.in"]
    source.mkdir()
    for name in kept:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.is_file():
            shutil.copy(path, source / name)
    script = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = [sys.executable, "-c", script]
    built = subprocess.run(run, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        wheel.extractall(installed)
    for package, folder in DATA.items():
        target = package.replace(".", "/")
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                assert f"{target}/{path.relative_to(ROOT / folder).as_posix()}" in names
    beside_code = [
        path for path in (ROOT / "accelsim").rglob("*") if path.suffix in (".css", ".jinja", ".js", ".typed")
    ]
    assert {"report.js", "page.html.jinja"} <= {path.name for path in beside_code}
    assert {path.relative_to(ROOT).as_posix() for path in beside_code} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "hwconfigs/"))]

    check = (
        "import accelsim, pathlib; from accelsim.config.loader import load_config;"
        "from accelsim.config.names import folder;"
        "load_config('a100_hdp', 'bert_base_layer'); load_config('v100_pcie', 'gemm_1024');"
        "print(pathlib.Path(accelsim.__file__).parent, folder('workloads'), sep='\\n')"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment["PYTHONPATH"] = str(installed)
    run = [sys.executable, "-c", check]
    used = subprocess.run(run, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert used.returncode == 0, used.stderr
    package, workloads = used.stdout.split()
    assert Path(package) == installed / "accelsim"
    assert Path(workloads) == installed / "accelsim" / "workloads"

"""Operands that the attention unit's number format cannot hold are told of."""

import pytest
from typer.testing import CliRunner

from accelsim.cli.entry import app

RUN = ["edge_hdp", "digits_vit_16", "--set", "workload.images=2"]


@pytest.mark.parametrize("command", [["run", *RUN, "--scheme", "hdp"], ["compare", *RUN, "--schemes", "hdp"]])
def test_saturation_is_a_warning(command: list[str]) -> None:
    narrow = CliRunner().invoke(app, [*command, "--set", "hdp.integer_bits=2"])
    assert narrow.exit_code == 0
    text = " ".join(narrow.output.split())
    assert "Warning, hdp:" in text
    assert "lay outside the attention unit's fixed point" in text
    assert "Warning" not in CliRunner().invoke(app, command).output

"""From the parts of a report to one file of HTML that asks nothing of a network."""

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING

from accelsim.show.report.blocks import Page

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = "accelsim report"
"""How a page names what wrote it, by which it is known again."""


def html(page: Page) -> str:
    """The page as HTML, with its style and script inside; the policy in its head allows these two and nothing else."""
    style, script = _asset("report.css"), _asset("report.js")
    from markupsafe import Markup

    return (
        _templates()
        .get_template("page.html.jinja")
        .render(
            page=page,
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            generator=f"{GENERATOR} {_version()}",
        )
    )


def _templates() -> "Environment":
    """Templates that escape whatever they are given, since names come from users."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("accelsim.show.report", "")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _asset(name: str) -> str:
    return files("accelsim.show.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names the text of an element."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _version() -> str:
    try:
        return version("accelsim")
    except PackageNotFoundError:
        return "(not installed)"

"""Code blocks of the Markdown pages: found, run in order, and their committed output kept true.

A page's blocks run in one folder, as a reader would type them:

- ``sh``: commands; ``accelsim`` is this package, in this process unless the line needs a shell.
- ``python``: one session for the whole page.
- ``yaml``: whose first line is ``# NAME.yaml``, becomes that file.
- ``text`` after the comment ``<!-- output -->``: what the block before it prints.

The comment ``<!-- not run: WHY -->`` before a block leaves it out.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OUTPUT = "<!-- output -->"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_NOT_RUN = re.compile(r"<!-- not run: [^>]+ -->\n+$")
_FILE = re.compile(r"# (\S+\.yaml)\b")
_WIDTH = 116


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    start: int
    """Where its text begins in the page, in characters."""
    line: int
    is_run: bool
    is_output: bool


def blocks_of(page: str) -> list[Block]:
    """Fenced blocks of a page in order."""
    found = []
    for match in _FENCE.finditer(page):
        before = page[: match.start()]
        found.append(
            Block(
                language=match[1],
                text=match[2],
                start=match.start(2),
                line=before.count("\n") + 1,
                is_run=match[1] in ("sh", "python", "yaml") and _NOT_RUN.search(before) is None,
                is_output=before.rstrip().endswith(OUTPUT),
            )
        )
    return found


def run_page(page: str, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run a page's blocks in `folder`; yields each block with what it printed.

    Raises
    ------
    RuntimeError
        When a block fails; the message names its line.
    """
    session: dict[str, object] = {"__name__": "page"}
    with _inside(folder):
        for block in blocks_of(page):
            if block.is_output or not block.is_run:
                continue
            try:
                yield block, _run(block, session)
            except Exception as error:
                raise RuntimeError(f"{block.language} block at line {block.line}: {error}") from error


def with_outputs(page: str, folder: Path) -> str:
    """The page with every output block as its commands print it now."""
    printed = {block.start: text for block, text in run_page(page, folder)}
    result, last, end = "", "", 0
    for block in blocks_of(page):
        if block.is_output:
            result += page[end : block.start] + last
            end = block.start + len(block.text)
        else:
            last = wrapped(printed.get(block.start, ""))
    return result + page[end:]


def wrapped(text: str) -> str:
    """Long lines of prose folded; tables, whose lines hold two spaces in a row, stay."""
    lines = []
    for line in text.rstrip("\n").split("\n"):
        is_prose = len(line) > _WIDTH and "  " not in line
        lines += textwrap.wrap(line, _WIDTH, subsequent_indent="  ", break_long_words=False) if is_prose else [line]
    return "\n".join(lines) + "\n"


def _run(block: Block, session: dict[str, object]) -> str:
    if block.language == "yaml":
        name = _FILE.match(block.text)
        if name is not None:
            Path(name[1]).write_text(block.text, encoding="utf-8")
        return ""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        if block.language == "python":
            exec(compile(block.text, "page", "exec"), session)
        else:
            for command in block.text.replace("\\\n", " ").splitlines():
                _command(command.split(" #")[0].strip(), stream)
    return stream.getvalue()


def _command(command: str, stream: io.StringIO) -> None:
    if not command or command.startswith("#"):
        return
    words = shlex.split(command)
    if words[0] != "accelsim" or any(word in ("|", ">", "&&", ";") for word in words):
        _shell(command, stream)
        return
    from accelsim.cli import main

    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = main(words[1:])
    if status:
        raise RuntimeError(f"`{command}` ended with status {status}: {errors.getvalue().strip()}")


def _shell(command: str, stream: io.StringIO) -> None:
    script = (
        f'accelsim() {{ "{sys.executable}" -m accelsim "$@"; }}; python() {{ "{sys.executable}" "$@"; }}; {command}'
    )
    root = str(Path(__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
    )
    if done.returncode:
        raise RuntimeError(f"`{command}` ended with status {done.returncode}: {done.stderr.strip()}")
    stream.write(done.stdout)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

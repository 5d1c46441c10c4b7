"""The YAML reader: plain values with lines, and nothing else."""

from pathlib import Path

import pytest

from accelsim.config.yaml import read_document, read_value
from accelsim.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "input.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_are_plain_and_keep_their_lines(tmp_path: Path) -> None:
    document = read_document(
        write(
            tmp_path,
            "a: &shared {b: 1_000, c: 1e9, d: no, e: true, f: null, g: 1.41 GHz}\n"
            "h: *shared\n"
            "i:\n"
            "  <<: *shared\n"
            "  b: 2\n"
            "j:\n"
            "  - 1\n"
            "  - k: 2\n",
        )
    )
    shared = {"b": 1000, "c": 1e9, "d": "no", "e": True, "f": None, "g": "1.41 GHz"}
    assert document.data == {"a": shared, "h": shared, "i": shared | {"b": 2}, "j": [1, {"k": 2}]}
    assert {type(value) for value in document.data["a"].values()} == {int, float, str, bool, type(None)}
    assert document.places["i", "b"].line == 5
    assert document.places["j", 1, "k"].line == 8
    assert str(document.place(("j", 1, "nothing"))).endswith("input.yaml:8")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\na: 2\n", 2, "key given twice"),
        ("a: 1\nb: {c: 1, c: 2}\n", 2, "key given twice"),
        ("a: 1\nb: !thing 3\n", 2, "the tag '!thing'"),
        ("a: 1\nb: !thing {c: 3}\n", 2, "the tag '!thing'"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", 2, "os.system"),
        ("a: 1\nb: !!python/tuple [1]\n", 2, "python/tuple"),
        ("a: !!str 5\n", 1, "the tag"),
        ("a: !!binary aGk=\n", 1, "the tag"),
        ("a: !!set {x}\n", 1, "the tag"),
        ("a: 2020-01-01\n", 1, "a date"),
        ("a: 1\n---\nb: 1\n", 2, "another document"),
        ("", 1, "is empty"),
        ("# nothing\n", 1, "is empty"),
        ("- 1\n", 1, "holds a list"),
        ("text\n", 1, "holds 'text'"),
        ("a: 1\n1: 2\n", 2, "keys are text"),
        ("a: &x [*x]\n", 1, "refers to what it stands in"),
        ("a: *missing\n", 1, "undefined alias"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: [1, 2\nb: 3\n", 2, "expected"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_document(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert problem in str(error.value)


def test_aliases_cannot_unfold_without_end(tmp_path: Path) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)]
    with pytest.raises(ConfigError, match="unfold"):
        read_document(write(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize("text", ["a: " + "[" * 1000 + "]" * 1000, "a: " + "9" * 5000])
def test_what_the_parser_cannot_hold_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        read_document(write(tmp_path, text))


def test_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "input.yaml"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(path)
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_document(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("128", 128), ("1.2 GHz", "1.2 GHz"), ("[1, 2]", [1, 2]), ("true", True), ("null", None), ("{a: 1}", {"a": 1})],
)
def test_values_of_options(text: str, value: object) -> None:
    read = read_value(text, "--set a.b=" + text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["", "  ", "!x 1", "[", "*a", "2020-01-01", "&x [*x]"])
def test_wrong_values_of_options_name_the_option(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set a\.b=: "):
        read_value(text, "--set a.b=")

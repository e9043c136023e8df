"""Text of other programs: what is read, and what is refused in one line with the place."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lanecli import textfiles
from lanecli.errors import InputError
from lanecli.textfiles import numbered_lines, parse_json, read_bytes, read_json, read_text, read_yaml


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8), max_size=8))
def test_lines_are_the_same_whatever_wrote_them(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("lines")
    wanted = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    for number, (mark, end) in enumerate((m, e) for m in (b"", b"\xef\xbb\xbf") for e in ("\n", "\r\n", "\r")):
        path = folder / str(number)
        path.write_bytes(mark + end.join(lines).encode())
        found = list(numbered_lines(path))
        if not (lines and lines[0].startswith("\ufeff")):
            assert found == wanted


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + "eins\nzwei\nstraße\n".encode("latin-1"))
        with pytest.raises(InputError, match=r"list\.txt line 3: is not UTF-8 \(byte 0xdf\)"):
            read_text(path)
    path.write_bytes("eins\n".encode("utf-16"))
    with pytest.raises(InputError, match="is in UTF-16; save it as UTF-8"):
        read_text(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_of_json_is_named(number: str) -> None:
    with pytest.raises(InputError, match=f"x.json: holds {number}"):
        parse_json(f'{{"a": [1, {number}]}}', "x.json")


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", '{"a" 1}', "1" * 5000])
def test_what_is_no_json_is_named(text: str) -> None:
    with pytest.raises(InputError, match="x.json: not readable as JSON: "):
        parse_json(text, "x.json")


def test_json_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[" * 200_000)
    with pytest.raises(InputError, match=r"x\.json: is nested too deeply"):
        read_json(path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    begun = time.monotonic()
    with pytest.raises(InputError, match="pipe: is not a regular file"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a regular file"):
        read_bytes(Path("/dev/zero"))
    assert time.monotonic() - begun < 5
    with pytest.raises(InputError, match="is a folder"):
        read_bytes(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_bytes(tmp_path / "gone")
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            read_bytes(tmp_path / name)


def test_a_file_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(textfiles.MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(InputError, match=r"x\.json: has 2048 MB; at most 2048 MB are allowed"):
        read_json(path)


def test_yaml_that_grows_by_its_aliases_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join(["a0: &a0 [lol]", *levels]))
    with pytest.raises(InputError, match=r"bomb\.yaml: would expand to more than 1000000 values"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &a [*a]", "would expand"),
        ("a: [", r"x\.yaml line 1: not readable as YAML"),
        ("a: 1\nb: !!python/object/apply:os.getcwd []", r"x\.yaml line 2: not readable as YAML"),
        ("? {a: 1}\n: 2", "not readable as YAML"),
        ("a: 2001-99-99", "not readable as YAML"),
        ("[" * 3000, "nested too deeply|not readable"),
    ],
)
def test_yaml_that_is_none_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_yaml(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_yaml_without_tricks_is_read_as_by_the_library(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    path.write_text(yaml.safe_dump(value))
    assert read_yaml(path) == value


def test_harmless_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\n")
    assert read_yaml(path)["other"] == {"a": 1, "b": 3}

"""Every text reader meets every trap: the table in docs/formats.md says what comes of each, and each cell is a test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign_files import FOREIGN, Foreign
from miniature_files import picture, stored

from lanecli.data.job import Job
from lanecli.data.prepare import prepare_dataset
from lanecli.errors import InputError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"


def _renamed(change: Callable[[str], str]) -> Callable[[bytes, Foreign], bytes]:
    """Write the picture's name in another way, escaped as the file wants it."""

    def transform(data: bytes, foreign: Foreign) -> bytes:
        assert foreign.name is not None
        new = change(foreign.name)
        if foreign.file.endswith("json"):
            new = json.dumps(new)[1:-1]
        changed = data.replace(foreign.name.encode(), new.encode(), 1)
        assert changed != data
        return changed

    return transform


def _not_a_number(data: bytes, foreign: Foreign) -> bytes:
    """The first number that stands alone becomes NaN."""
    return re.sub(rb"(?<![\w.\"#/\\-])\d+(\.\d+)?(?![\w.\"])", b"NaN", data, count=1)


def _infinity(data: bytes, foreign: Foreign) -> bytes:
    """The first number that stands alone becomes one too large for a float."""
    return re.sub(rb"(?<![\w.\"#/\\-])\d+(\.\d+)?(?![\w.\"])", b"1e999", data, count=1)


def _nested(data: bytes, foreign: Foreign) -> bytes:
    if foreign.file.endswith("xml"):
        return b"<annotations>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</annotations>"
    return b"[" * 100_000 + b"]" * 100_000


TRAPS: dict[str, Callable[[bytes, Foreign], bytes]] = {
    "BOM": lambda data, _: b"\xef\xbb\xbf" + data,
    "CRLF": lambda data, _: data.replace(b"\n", b"\r\n"),
    r"`sub\a`": _renamed(lambda name: name.replace("/", "\\")),
    "`/sub/a`": _renamed(lambda name: f"/{name}"),
    r"`..\sub\a`": _renamed(lambda name: "..\\" + name.replace("/", "\\")),
    r"`C:\sub\a`": _renamed(lambda name: "C:\\" + name.replace("/", "\\")),
    "other encoding": lambda data, _: data + b"\n\xb3\xb5\xb5\xc0",
    "UTF-16": lambda data, _: data.decode().encode("utf-16"),
    "NaN": _not_a_number,
    "1e999": _infinity,
    "nested 100 000 deep": _nested,
}
SAYS = {
    "other encoding": r"line \d+: is not UTF-8|not well-formed",
    "UTF-16": r"UTF-16|not well-formed",
}


def _table() -> list[tuple[str, str, str]]:
    """(row, column, cell) of the table of formats and traps."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| file |"))
    head = [cell.strip() for cell in lines[start].strip("|").split("|")]
    cells = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        row = [cell.strip() for cell in line.strip("|").split("|")]
        cells += [(row[0], column, cell) for column, cell in zip(head[1:], row[1:], strict=True)]
    return cells


CELLS = _table()


def test_the_table_has_a_row_for_each_reader_and_a_column_for_each_trap() -> None:
    assert {row for row, _, _ in CELLS} == set(FOREIGN)
    assert {column for _, column, _ in CELLS} == set(TRAPS)
    for row, column, cell in CELLS:
        nothing_to_rename = column.startswith("`") and "/" not in (FOREIGN[row].name or "")
        assert cell in ("read", "named") or nothing_to_rename or not column.startswith("`"), (row, column)


def prepared(foreign: Foreign, root: Path, out: Path) -> dict[str, tuple[str, np.ndarray]]:
    info = prepare_dataset(Job(foreign.format, root / foreign.source, out, contact_sheet=0))
    return {s.mask.relative_to(info.root).as_posix(): (s.split, stored(s.mask)) for s in info.samples}


@pytest.mark.parametrize(("row", "column", "cell"), [c for c in CELLS if c[2] != "–"])
def test_cell(tmp_path: Path, row: str, column: str, cell: str) -> None:
    foreign, root = FOREIGN[row], tmp_path / "inner" / "src"
    foreign.make(root)
    wanted = prepared(foreign, root, tmp_path / "plain")
    file = root / foreign.file
    file.write_bytes(TRAPS[column](file.read_bytes(), foreign))
    if cell == "read":
        found = prepared(foreign, root, tmp_path / "trapped")
        assert found.keys() == wanted.keys()
        for name, (split, mask) in wanted.items():
            assert found[name][0] == split
            assert np.array_equal(found[name][1], mask)
        return
    with pytest.raises(InputError, match=SAYS.get(column)) as error:
        prepared(foreign, root, tmp_path / "trapped")
    assert file.name in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("row", [row for row, foreign in FOREIGN.items() if foreign.name is not None])
def test_nothing_is_read_outside_of_the_dataset(tmp_path: Path, row: str) -> None:
    """A picture that lies outside is never taken, though the file leads to it."""
    foreign, root = FOREIGN[row], tmp_path / "inner" / "src"
    foreign.make(root)
    assert foreign.name is not None
    picture(tmp_path / "outside.jpg", (32, 24))
    file = root / foreign.file
    said: list[str] = []
    for path in ("../../outside.jpg", str(tmp_path / "outside.jpg"), "..\\..\\outside.jpg"):
        new = json.dumps(path)[1:-1] if foreign.file.endswith("json") else path
        data = file.read_bytes()
        file.write_bytes(data.replace(foreign.name.encode(), new.encode(), 1))
        job = Job(foreign.format, root / foreign.source, tmp_path / "out", contact_sheet=0, overwrite=True)
        try:
            assert all(s.image.is_relative_to(root) for s in prepare_dataset(job).samples)
        except InputError as error:
            said.append(str(error))
        file.write_bytes(data)
    assert all("outside" in line for line in said)


def test_a_pipe_in_a_files_place_is_refused_at_once(tmp_path: Path) -> None:
    import os

    foreign, root = FOREIGN["`coco` JSON"], tmp_path / "src"
    foreign.make(root)
    (root / foreign.file).unlink()
    os.mkfifo(root / foreign.file)
    with pytest.raises(InputError, match=r"x\.json: is not a regular file"):
        prepared(foreign, root, tmp_path / "out")

"""A short pass of the fuzzer in the default run, a long one on demand; `fuzzing.py` itself runs by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzzed_readers import READERS
from fuzzing import Reader, fuzz

HEAVY = ("video", "built network", "onnxruntime", "openvino", "training log", "pictures")
"""Readers that take milliseconds an input."""


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_end_in_one_line(reader: Reader, count: int, tmp_path: Path) -> None:
    seed = int(os.environ.get("LANECLI_FAULT_SEED", "1"))
    print(f"LANECLI_FAULT_SEED={seed}")
    found = fuzz(reader, tmp_path, count // 6 if count == 60 and reader.name in HEAVY else count, seed)
    assert not found.faults, "\n".join((found.faults or {}).values())
    assert found.grown < 1500, f"memory grew by {found.grown} MB"


def test_the_fuzzer_finds_what_a_reader_lets_through(tmp_path: Path) -> None:
    """A reader with three mistakes in it: they are told, told apart, and none hides another."""

    def make(folder: Path) -> tuple[list[Path], object]:
        path = folder / "f"
        path.write_text("numbers: 1 2 3\n")

        def read() -> None:
            values = path.read_text().split(":")[1].split()
            [int(value) for value in values]

        return [path], read

    found = fuzz(Reader("careless", make), tmp_path, 300, 1)  # type: ignore[arg-type]
    kinds = " ".join(found.faults or {})
    assert "ValueError" in kinds
    assert "UnicodeDecodeError" in kinds
    assert "IndexError" in kinds
    assert found.inputs == 300

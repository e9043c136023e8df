"""Damaged pictures and videos: no exception but ours, no hang, no signal, memory bounded, nothing on stderr."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from media.fuzz import PICTURES, VIDEOS

HARNESS = Path(__file__).with_name("fuzz.py")
READERS = [name for name in (*PICTURES, *VIDEOS) if name != "heic" or importlib.util.find_spec("pi_heif")]


def run(readers: list[str], count: int, seconds: float) -> dict[str, dict]:
    """The harness's documents, with a seed that is printed; LANECLI_FAULT_SEED=N takes another."""
    seed = int(os.environ.get("LANECLI_FAULT_SEED", "1"))
    print(f"LANECLI_FAULT_SEED={seed}")
    done = subprocess.run(
        [sys.executable, str(HARNESS), ",".join(readers), str(seed), str(count), str(seconds)],
        capture_output=True,
        text=True,
        timeout=10 * seconds,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, f"seed {seed}: ended with {done.returncode}\n{done.stderr[-2000:]}"
    assert done.stderr == "", f"seed {seed}: raw lines on stderr:\n{done.stderr[:2000]}"
    documents = json.loads(done.stdout)
    for name, found in documents.items():
        print(name, found)
        assert found["failures"] == [], f"seed {seed}"
        assert found["peak_mb"] < 1500
    return documents


def test_fuzzing_a_little():
    for found in run(READERS, 25, 60).values():
        assert found["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_fuzzing_2000_inputs_a_reader_within_a_minute(reader):
    assert run([reader], 2000, 60)[reader]["tried"] == 2000

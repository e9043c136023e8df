"""How a step is computed changes its rounding, never what is learnt: precision, gradient checkpointing, compilation."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from samples import SMALL_RUN, Outcome

Cli = Callable[..., Outcome]


def losses(cli: Cli, scenes: Path, out: Path, *more: str) -> list[float]:
    """Of each epoch, and of validation."""
    done = cli("train", *SMALL_RUN, "optim.name=sgd", "optim.lr=0.02", *more, "--data", scenes, "--out", out)
    assert done.code == 0, done.err
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row[key]) for row in rows for key in ("train/loss", "train/ce", "train/dice")]


@pytest.mark.parametrize(
    ("more", "tolerance"),
    [
        (["train.checkpoint_gradients=true"], 1e-5),
        (["train.precision=bf16"], 0.05),  # 8 bits of significand: 0.4 % a rounding, over six steps
        (["train.precision=fp16"], 0.01),
        pytest.param(
            ["train.compile=true"],
            1e-4,
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler"),
            ],
        ),
        pytest.param(
            ["--device", "cuda"],
            0.01,
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ),
    ],
    ids=["checkpointed", "bf16", "fp16", "compiled", "cuda"],
)
def test_the_curve_is_that_of_float32(
    cli: Cli, scenes: Path, tmp_path: Path, more: list[str], tolerance: float
) -> None:
    plain = losses(cli, scenes, tmp_path / "plain", "--device", "cpu")
    device = [] if "--device" in more else ["--device", "cpu"]
    assert losses(cli, scenes, tmp_path / "other", *more, *device) == pytest.approx(plain, rel=tolerance)

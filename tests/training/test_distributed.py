"""Several processes train as one with as many times the batch: gloo on a CPU, batch norm and loss over all pictures."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from processes import launch, together
from safetensors.numpy import load_file
from samples import SMALL_RUN, Outcome

from lanecli.losses import build_loss
from lanecli.sections import LossTerm
from lanecli.training.processes import Processes
from lanecli.training.validate import validate

Cli = Callable[..., Outcome]

# Adam divides by the gradient's size at first: where that is rounding, so would the whole difference be
SMALL = [*SMALL_RUN, "optim.name=sgd", "optim.lr=0.05"]

WITHIN = "{scale: [1.0, 1.5], rotate: 0, shift: 0, aspect: 0}"


def rows(run: Path) -> list[dict[str, str]]:
    """A run's metrics."""
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same_curve(one: Path, several: Path) -> None:
    """Losses, scores and weights agree to float32's rounding over these few steps."""
    first, second = rows(one), rows(several)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if name.startswith("train/"):
                assert float(b[name]) == pytest.approx(float(a[name]), rel=1e-4), name
            elif a[name]:  # a pixel on the edge of a class may fall to the other side
                assert float(b[name]) == pytest.approx(float(a[name]), abs=2e-3), name
    weights, others = load_file(one / "last/state.safetensors"), load_file(several / "last/state.safetensors")
    for name, value in weights.items():
        if name.startswith("state.network") and "num_batches" not in name:
            np.testing.assert_allclose(others[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def single(cli: Cli, scenes: Path, out: Path, *more: str) -> Path:
    """One process with a batch of four."""
    done = cli("train", *SMALL, "train.batch=4", *more, "--data", scenes, "--out", out)
    assert done.code == 0, done.err
    return out


@pytest.mark.parametrize(
    "more",
    [
        # smaller steps: each adds to what rounding began
        ["loss=jaccard", "model.name=unet", "optim.lr=0.02"],
        ["loss=ce+lovasz", "train.accumulate=2", "train.ema=0.9"],
        ["loss=ce+dice", "train.parallel=fsdp", "train.ema=0.9"],
        # a mean over as many pixels in every picture: none is drawn from beyond the frame
        ["loss=ce", "train.sync_loss=false", "train.accumulate=2", f"data.augment={WITHIN}"],
        # a small rate: Adam turns rounding of next to no gradient into whole steps
        ["model.encoder=tu-efficientnet_lite0", "optim.lr=0.001", "train.epochs=1"],
    ],
    ids=["ddp", "accumulated", "fsdp", "own loss", "timm"],
)
def test_two_processes_are_one_with_twice_the_batch(cli: Cli, scenes: Path, tmp_path: Path, more: list[str]) -> None:
    one = single(cli, scenes, tmp_path / "one", *more)
    codes = together(2, ["train", *SMALL, *more, "--data", scenes, "--out", tmp_path / "two"], tmp_path)
    assert codes == [0, 0], (tmp_path / "output-0.txt").read_text()
    assert_same_curve(one, tmp_path / "two")


def test_without_synchronised_batch_norm_the_curve_is_another(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    one = single(cli, scenes, tmp_path / "one")
    more = ["train.sync_batchnorm=false"]
    assert together(2, ["train", *SMALL, *more, "--data", scenes, "--out", tmp_path / "two"], tmp_path) == [0, 0]
    with pytest.raises(AssertionError):
        assert_same_curve(one, tmp_path / "two")


def test_torchrun(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    one = single(cli, scenes, tmp_path / "one", "train.epochs=1")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [
        "-m",
        "lanecli",
        "train",
        *SMALL,
        "train.epochs=1",
        "--data",
        str(scenes),
        "--out",
        str(tmp_path / "two"),
    ]
    done = subprocess.run(
        [*command, *words, "--json"], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 3  # one document: only one process prints
    assert_same_curve(one, tmp_path / "two")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_killed_processes_resume_without_a_trace(scenes: Path, tmp_path: Path, parallel: str) -> None:
    more = [f"train.parallel={parallel}", "train.save_steps=1", "train.epochs=4", "model.dropout=0.5"]
    arguments = ["train", *SMALL, *more, "--data", scenes, "--out"]
    assert together(2, [*arguments, tmp_path / "whole"], tmp_path) == [0, 0], (tmp_path / "output-0.txt").read_text()
    killed = tmp_path / "killed"
    processes = launch(2, [*arguments, killed], tmp_path)
    while not (killed / "last").exists():
        processes[0].join(timeout=0.01)
        assert processes[0].is_alive()
    for process in processes:
        process.kill()
        process.join()
    assert not (killed / "samples").exists(), "it was finished before it was killed"
    assert together(2, ["train", "--resume", killed], tmp_path) == [0, 0], (tmp_path / "output-0.txt").read_text()
    for name in ("model.safetensors", "last/state.safetensors"):
        whole, resumed = load_file(tmp_path / "whole" / name), load_file(killed / name)
        assert whole.keys() == resumed.keys()
        for key, value in whole.items():
            np.testing.assert_array_equal(value, resumed[key], err_msg=key)
    assert (tmp_path / "whole/metrics.csv").read_text() == (killed / "metrics.csv").read_text()
    assert together(1, ["train", "--resume", killed], tmp_path) == [2]


def test_alone_nothing_is_sent() -> None:
    processes = Processes()
    values = torch.arange(6.0).reshape(3, 2)
    assert processes.main
    assert processes.total(values) is values
    assert processes.gather(values) is values
    assert processes.agree("runs/ä") == "runs/ä"
    assert torch.equal(processes.collect(values)[0], values)


def test_validation_is_shared_without_counting_twice() -> None:
    from lanecli.data.dataset import EvaluationSet
    from lanecli.geometry import Geometry
    from lanecli.labels import LabelClass, LabelMap

    label_map = LabelMap("two", (LabelClass("road", (0, 0, 0)), LabelClass("lane", (255, 255, 255))), background=0)
    rng = np.random.default_rng(0)

    class Pictures:
        weights = None

        def __init__(self) -> None:
            self.label_map = label_map
            self.masks = rng.integers(0, 2, (5, 8, 12), np.uint8)

        def __len__(self) -> int:
            return len(self.masks)

        def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return np.repeat(255 * self.masks[index][..., None] // 2 + index, 3, axis=2), self.masks[index]

    class Bright(torch.nn.Module):
        scale = torch.zeros(1)

        def logits(self, pictures: torch.Tensor) -> torch.Tensor:
            level = pictures.float().mean(-1)
            return torch.stack([60 - level, level - 60 - (level.mean((1, 2), keepdim=True) > 65) * 1e3], 1)

    counted: list[np.ndarray] = []

    class Third(Processes):
        def total(self, values: torch.Tensor) -> torch.Tensor:
            counted.append(values.numpy().copy())
            return values

    items = EvaluationSet(Pictures(), Geometry((12, 8)))

    def read(part: Any) -> Any:
        for start in range(0, len(part), 2):
            pairs = [part[i] for i in range(start, min(start + 2, len(part)))]
            yield [torch.from_numpy(np.stack(half)) for half in zip(*pairs, strict=True)]

    criterion = build_loss([LossTerm(name="ce")], classes=2, mode="multiclass")
    stage = SimpleNamespace(validation=[items], criterion=criterion, label_map=label_map)
    autocast = torch.autocast("cpu", enabled=False)
    for rank in range(3):
        validate(Bright(), stage, read, autocast, Third(rank=rank, size=3))  # type: ignore[arg-type]
    scores = validate(Bright(), stage, read, autocast, Third())  # type: ignore[arg-type]
    pixels, losses = counted[::2], counted[1::2]
    np.testing.assert_array_equal(sum(pixels[:3]), pixels[3])
    assert pixels[3].sum() == 5 * 8 * 12
    np.testing.assert_allclose(sum(losses[:3]), losses[3])
    assert losses[3][1] == 5
    assert scores["val/loss"] == pytest.approx(losses[3][0] / 5)

"""Learning from another model's answers: distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from samples import SMALL_RUN

from lanecli.config import load_config
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import build_network, network_from_file
from lanecli.training import epoch_pictures, loop
from lanecli.training.batch_loss import BatchLoss
from lanecli.training.stage import Stage
from lanecli.training.watcher import SilentWatcher

SMALL = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", "data.samples=2", "train.epochs=1"]


def fresh_model(path: Path, classes: str = "lane") -> Path:
    """A model file of random weights, of another size than the student, with dropout that must not act."""
    torch.manual_seed(5)
    arguments = {"encoder": "tu-mobilenetv3_small_050", "dropout": 0.5}
    spec = ModelSpec("fpn", arguments, label_map(classes), Geometry((128, 64)))
    network = build_network(spec)
    network.train()(torch.randint(0, 255, (4, 64, 128, 3)).to(torch.uint8))  # statistics of norms become its own
    write_safetensors(path, network.state_dict(), spec)
    return path


def begin(scenes: Path, folder: Path, *overrides: str) -> loop.Run:
    folder.mkdir()
    return loop.Run(load_config(None, [*SMALL, f"data.root={scenes}", *overrides]), folder)


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)


def divergence(teacher: np.ndarray, student: np.ndarray, counted: np.ndarray, temperature: float) -> float:
    """Mean over counted pixels of the sum over classes of p log(p / q), times the temperature squared."""

    def probabilities(logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits.astype(np.float64) / temperature)
        return powers / powers.sum(1, keepdims=True)

    p, q = probabilities(teacher), probabilities(student)
    return float((p * np.log(p / q)).sum(1)[counted].mean() * temperature**2)


@pytest.mark.parametrize(
    ("loss", "weight", "temperature"),
    [
        ("ce+dice", 1.0, 1.0),
        ("[ce, dice, {name: kl, weight: 0.25, args: {temperature: 3}}]", 0.25, 3.0),
    ],
)
def test_the_loss_follows_the_teachers_answers_to_the_same_pictures(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str, weight: float, temperature: float
) -> None:
    seen: dict[str, Any] = {}
    original = BatchLoss.compute

    def record(
        self: BatchLoss,
        stage: Stage,
        outputs: list[torch.Tensor],
        pictures: torch.Tensor,
        masks: torch.Tensor,
        **teacher: Any,
    ) -> Any:
        seen.update(student=outputs[0].detach().numpy(), pictures=pictures, masks=masks.numpy())
        return original(self, stage, outputs, pictures, masks, **teacher)

    monkeypatch.setattr(BatchLoss, "compute", record)
    model = fresh_model(tmp_path / "teacher.safetensors")
    run = begin(scenes, tmp_path / "run", f"teacher={model}", f"loss={loss}")
    assert [term.name for term in run.stage.loss_terms] == ["ce", "dice", "kl"]
    run.train(SilentWatcher())
    teacher, _ = network_from_file(model)
    with torch.no_grad():
        taught = teacher.logits(seen["pictures"]).numpy()
    wanted = divergence(taught, seen["student"], seen["masks"] != 255, temperature)
    row = run.log.rows[0]
    assert row["train/kl"] == pytest.approx(wanted, rel=1e-4)
    assert wanted > 1e-3
    total = row["train/ce"] + row["train/dice"] + weight * row["train/kl"]
    assert row["train/loss"] == pytest.approx(total, rel=1e-5)


def test_the_teacher_learns_nothing(scenes: Path, tmp_path: Path) -> None:
    model = fresh_model(tmp_path / "teacher.safetensors")
    run = begin(scenes, tmp_path / "run", f"teacher={model}", "train.epochs=2")
    stage, kept = run.stages[0], {}
    release = stage.release

    def keep() -> None:
        assert stage.teacher is not None
        kept.update(stage.teacher.state_dict())
        release()

    stage.release = keep  # type: ignore[method-assign]
    run.train(SilentWatcher())
    for name, tensor in load_file(model).items():
        assert torch.equal(kept[name], tensor), name
    assert stage.teacher is None


def test_a_teacher_of_other_classes_is_refused(scenes: Path, tmp_path: Path) -> None:
    model = fresh_model(tmp_path / "teacher.safetensors", "tusimple-binary")
    with pytest.raises(InputError, match="has the classes background, lane, not those trained here"):
        begin(scenes, tmp_path / "run", f"teacher={model}").train(SilentWatcher())


def test_a_kl_loss_without_a_teacher_is_refused(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="teacher=MODEL"):
        begin(scenes, tmp_path / "run", "loss=ce+kl")

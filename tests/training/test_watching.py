"""What a run says: before it starts, after each epoch, and when a class is not learnt."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from samples import SMALL_RUN, Outcome

from lanecli.config import load_config
from lanecli.data.manifest import DatasetInfo, Sample, read_dataset, write_dataset
from lanecli.draw.sheet import IGNORED_COLOR, legend_strip
from lanecli.errors import InputError
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.media.pictures import write_mask, write_picture
from lanecli.modelfile import read_spec
from lanecli.training import epoch_pictures, loop
from lanecli.training.choice import choose
from lanecli.training.outline import outline
from lanecli.training.unlearnt import advice, all_at_zero, unlearnt_classes
from lanecli.training.watcher import SilentWatcher

Cli = Callable[..., Outcome]
SMALL = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", "data.samples=4"]


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)


def begin(folder: Path, *overrides: str) -> loop.Run:
    folder.mkdir(parents=True)
    return loop.Run(load_config(None, [*SMALL, *overrides]), folder)


class Listener(SilentWatcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, Any], bool]] = []
        self.warnings: list[str] = []

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        self.rows.append((row, best))

    def warn(self, line: str) -> None:
        self.warnings.append(line)


def dataset(folder: Path, classes: int, masks: list[np.ndarray], val: int = 1) -> Path:
    """A prepared set of noise pictures with these masks; the last `val` of them for validation."""
    rng = np.random.default_rng(0)
    names = [LabelClass(f"c{i}", (i % 256, 7 * i % 256, 90), (i,)) for i in range(classes)]
    samples = []
    for number, mask in enumerate(masks):
        image, target = folder / f"images/{number}.png", folder / f"masks/{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(image, rng.integers(0, 256, (*mask.shape, 3), np.uint8))
        write_mask(target, mask)
        samples.append(Sample(image, target, "val" if number >= len(masks) - val else "train", str(number)))
    counts = {
        split: {
            each.name: sum(int((m == i).sum()) for m, s in zip(masks, samples, strict=True) if s.split == split)
            for i, each in enumerate(names)
        }
        for split in ("train", "val")
    }
    write_dataset(DatasetInfo(folder, tuple(samples), LabelMap("many", tuple(names)), pixel_counts=counts))
    return folder


# --- before it starts ------------------------------------------------------------------------------------------------


def test_a_run_says_what_it_will_do(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    stages = "stages=[{train: {epochs: 1}}, {loss: jaccard, train: {batch: 5}, data: {geometry: {size: 96x64}}}]"
    done = cli("train", *SMALL_RUN, "train.epochs=1", "optim=sgd", stages, "--data", scenes, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    before, _, after = done.err.partition("epoch 1/2")
    assert "model:   unet with resnet18" in before
    assert "classes: background, lane marking" in before
    assert "device:  cpu in float32" in before
    assert "12 pictures of 'train' to train on, 2 pictures of 'val' for validation" in before
    assert "stage 1: 1 epochs of 6 steps of 2 pictures at 64x32, loss ce+dice, sgd at 0.002, cosine" in before
    assert (
        "stage 2: 1 epochs of 2 steps of 5 pictures (2 pictures do not fill a batch; they change each epoch)" in before
    )
    assert "in all:  2 epochs, 8 steps" in before
    assert "foreground IoU" in after
    assert "(val " in after
    assert "warning: no validation" not in done.err


def test_no_validation_set_is_said_before_training(scenes: Path, tmp_path: Path) -> None:
    run = begin(tmp_path / "run", f"data.root={scenes}", "data.val_split=nowhere")
    (line,) = (line for line in outline(run) if line.startswith("warning:"))
    assert "no validation set (split 'nowhere')" in line
    run.train(SilentWatcher())
    assert read_spec(tmp_path / "run" / "model.safetensors").provenance["step"] == run.steps


def test_two_classes_and_many_are_given_losses_of_their_own(tmp_path: Path, scenes: Path) -> None:
    config = load_config(None, ["loss=auto", f"data.root={scenes}", "stages=[{loss: ce}, {loss: auto}]"])
    chosen, (reason,) = choose(config)
    assert [[t.name for t in stage.loss] for stage in chosen.each_stage] == [["ce"], ["jaccard"]]
    assert "jaccard, chosen for two classes" in reason
    many = np.zeros((20, 20), np.uint8)
    many[:2], many[4, :4] = 1, 2
    root = dataset(tmp_path / "many", 3, [many] * 4)
    chosen, (reason,) = choose(load_config(None, ["loss=auto", f"data.root={root}"]))
    assert [t.name for t in chosen.loss] == ["ce", "dice"]
    assert chosen.loss[0].args == {"class_weights": "root_median_frequency"}
    assert "chosen for 3 classes from 89 % (c0) to 1 % (c2) of the pixels" in reason
    assert choose(chosen) == (chosen, [])


def test_a_set_without_any_foreground_is_refused(cli: Cli, tmp_path: Path) -> None:
    root = dataset(tmp_path / "empty", 2, [np.zeros((32, 64), np.uint8)] * 4)
    for more in (["--dry-run"], []):
        done = cli("train", *SMALL, "--data", root, "--out", tmp_path / "run", *more)
        assert done.code == 2
        assert "no training picture has a pixel of c1" in done.err
    assert not (tmp_path / "run").exists()


def test_two_hundred_classes_are_trained_without_drawing_them(cli: Cli, tmp_path: Path) -> None:
    mask = np.arange(32 * 64, dtype=np.int64).reshape(32, 64) % 200
    root = dataset(tmp_path / "many", 200, [mask.astype(np.uint8)] * 4)
    done = cli("train", *SMALL, "--data", root, "train.epochs=1", "train.sample_epochs=1", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert not (tmp_path / "run" / "samples").exists()


# --- after each epoch ------------------------------------------------------------------------------------------------


def test_the_validation_loss_is_that_of_the_validation_pictures(scenes: Path, tmp_path: Path) -> None:
    run, listener = begin(tmp_path / "run", f"data.root={scenes}", "train.epochs=1"), Listener()
    run.train(listener)
    (row, _), network = listener.rows[0], run.network.eval()
    pairs = [part[i] for part in run.stage.validation for i in range(len(part))]
    assert len(pairs) == 2
    pictures, masks = (torch.from_numpy(np.stack(half)) for half in zip(*pairs, strict=True))
    with torch.no_grad():
        wanted = np.mean(
            [float(run.stage.criterion(network.logits(pictures[i : i + 1]), masks[i : i + 1].long())) for i in range(2)]
        )
    assert row["val/loss"] == pytest.approx(wanted, rel=1e-5)
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "val/loss"} <= set(header)


def test_of_equal_scores_the_later_epoch_is_kept(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.0, 0.0, 0.0, 0.25, 0.125])
    monkeypatch.setattr(loop, "validate", lambda *_: {"val/miou_foreground": next(scores)})
    run, listener = (
        begin(tmp_path / "run", f"data.root={scenes}", "train.epochs=5", "train.sample_epochs=0"),
        Listener(),
    )
    run.train(listener)
    assert [best for _, best in listener.rows] == [True, True, True, True, False]
    assert read_spec(tmp_path / "run" / "model.safetensors").provenance["step"] == 4 * run.steps // 5


def row(**iou: float | None) -> dict[str, Any]:
    return {f"val/iou/{name}": value for name, value in iou.items()}


THREE = LabelMap("three", tuple(LabelClass(n, (i, 0, 0)) for i, n in enumerate(("background", "pole", "fence"))))


def test_a_class_that_stays_at_0_is_named_once() -> None:
    rows: list[dict[str, Any]] = []
    named = []
    for pole, fence in (
        (0.0, None),
        (0.0, 0.0),
        (0.0, 0.0),
        (0.0, 0.0),
        (0.5, "0.0"),
        (0.0, ""),
        (0.0, 0.1),
        (0.0, 0.1),
    ):
        rows.append(row(background=0.0, pole=pole, fence=fence))
        named.append(unlearnt_classes(rows, THREE))
    assert named == [[], [], ["pole"], ["fence"], [], [], [], ["pole"]]


def test_nothing_found_at_all() -> None:
    assert all_at_zero(row(background=0.9, pole=0.0, fence=None), THREE)
    assert not all_at_zero(row(background=0.0, pole=0.0, fence=0.1), THREE)
    assert not all_at_zero({}, THREE)


def test_advice_names_what_has_not_been_tried() -> None:
    line = advice(["pole", "fence"], load_config(None, ["loss=ce", "data.geometry.size=64x32"]))
    assert "the IoU has been 0 in 3 validations: pole, fence" in line
    for word in ("class_weights", "data.sampler=rare", "data.geometry.size"):
        assert word in line
    weighed = "loss=[{name: ce, args: {class_weights: inverse}}]"
    line = advice(["pole"], load_config(None, [weighed, "data.sampler=rare", "data.geometry.size=640x352"]))
    assert line.endswith("try more train.epochs")


def test_a_run_warns_of_what_it_does_not_learn(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_: {"val/miou_foreground": 0.0, "val/iou/lane marking": 0.0})
    run, listener = (
        begin(tmp_path / "run", f"data.root={scenes}", "train.epochs=4", "train.sample_epochs=0"),
        Listener(),
    )
    run.train(listener)
    (line,) = listener.warnings
    assert "lane marking" in line
    assert '"event": "warning", "step": 6' in (tmp_path / "run" / "log.jsonl").read_text()


def test_the_bar_tells_the_epoch_and_the_best_so_far() -> None:
    from rich.console import Console

    from lanecli.cli.train_progress import TerminalWatcher

    shown: dict[str, Any] = {}
    text = io.StringIO()
    bar = SimpleNamespace(
        console=Console(file=text, width=200),
        add_task=lambda name, **fields: 0,
        update=lambda task, **fields: shown.update(fields),
    )
    stage = SimpleNamespace(label_map=label_map("lane"), config=load_config())
    run = SimpleNamespace(epoch_ends=[3, 6, 8], best=None, stage=stage)
    watcher = TerminalWatcher(bar, run)  # type: ignore[arg-type]
    for step, epoch in ((1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (8, 3)):
        watcher.step(step, 8, 0.5, 3.0)
        assert shown["description"] == f"epoch {epoch}/3"
    run.best = 0.25
    scores = {"val/loss": 0.75, "val/miou_foreground": 0.25, "val/miou": 0.5, "val/iou/lane marking": 0.0}
    watcher.epoch({"epoch": 3, "step": 8, "train/loss": 0.5, **scores}, True)
    watcher.step(8, 8, 0.5, 3.0)
    assert shown["state"] == "loss 0.5000 (val 0.7500)  best foreground IoU 0.2500  3.0 images/s"
    assert "epoch 3/3  step 8  loss 0.5000 (val 0.7500)  foreground IoU 0.2500  mIoU 0.5000  best" in text.getvalue()
    assert "no pixel of any foreground class was found: the IoU of each is 0" in text.getvalue()


def test_a_legend_names_every_class_but_background() -> None:
    strip = legend_strip(THREE, 300)
    colours = {tuple(colour) for colour in strip.reshape(-1, 3).tolist()}
    assert {(1, 0, 0), (2, 0, 0), IGNORED_COLOR} <= colours
    assert (0, 0, 0) not in colours
    narrow = legend_strip(label_map("camvid-32"), 400)
    assert narrow.shape[1] == 400
    assert narrow.shape[0] > strip.shape[0]


def test_a_set_of_one_class_says_to_add_background(tmp_path: Path) -> None:
    root = dataset(tmp_path / "one", 1, [np.zeros((32, 64), np.uint8)] * 4)
    assert len(read_dataset(root).label_map.classes) == 1
    with pytest.raises(InputError):
        begin(tmp_path / "run", f"data.root={root}")

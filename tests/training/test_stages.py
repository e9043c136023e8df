"""Stages: their configurations, a run through two of them, stopping and going on, and an encoder left alone."""

from __future__ import annotations

import csv
import math
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from samples import SMALL_RUN

from lanecli.config import Config, load_config
from lanecli.errors import InputError
from lanecli.modelfile import read_spec
from lanecli.training import epoch_pictures, loop
from lanecli.training.checkpoint import load_state
from lanecli.training.run_folder import resume_config
from lanecli.training.watcher import SilentWatcher

# --- configurations --------------------------------------------------------------------------------------------------


def configs(*stages: dict[str, Any], **base: Any) -> list[Config]:
    return list(Config.model_validate({**base, "stages": list(stages)}).each_stage)


def test_a_configuration_without_stages_is_one() -> None:
    config = load_config(None, ["train.epochs=7", "loss=focal"])
    assert config.each_stage == (config,)


def test_a_stage_differs_in_the_keys_it_names() -> None:
    first, second = configs(
        {"train": {"epochs": 5}, "data": {"geometry": {"size": [64, 32]}}, "loss": "ce"},
        {"optim": {"lr": 0.5}},
        train={"epochs": 3, "batch": 4},
        data={"root": "a", "geometry": {"fit": "pad"}},
        optim={"name": "sgd"},
        loss="dice",
    )
    assert (first.train.epochs, first.train.batch) == (5, 4)
    assert (first.data.geometry.size, first.data.geometry.fit, first.data.root) == ((64, 32), "pad", ["a"])
    assert [term.name for term in first.loss] == ["ce"]
    assert first.optim == second.optim.model_copy(update={"lr": 1e-3})
    assert (second.train.epochs, second.data.geometry.size) == (3, Config().data.geometry.size)
    assert (second.optim.name, second.optim.lr) == ("sgd", 0.5)
    assert [term.name for term in second.loss] == ["dice"]
    assert first.stages == second.stages == []


def test_lists_and_arguments_are_replaced_not_merged() -> None:
    base = {"optim": {"name": "adam", "args": {"eps": 0.1}}, "data": {"root": ["a", "b"]}, "loss": ["ce", "dice"]}
    (stage,) = configs({"optim": {"args": {"amsgrad": True}}, "data": {"root": ["c"]}, "loss": ["focal"]}, **base)
    assert stage.optim.args == {"amsgrad": True}
    assert stage.data.root == ["c"]
    assert [term.name for term in stage.loss] == ["focal"]


def test_augmentation_is_turned_off_and_on_by_stages() -> None:
    off, on = configs({"data": {"augment": None}}, {"data": {"augment": {"flip": 0.25}}}, data={"augment": {"blur": 1}})
    assert off.data.augment is None
    assert on.data.augment is not None
    assert (on.data.augment.flip, on.data.augment.blur) == (0.25, 1)


def test_an_empty_stage_is_the_rest() -> None:
    assert configs({}, train={"epochs": 3}) == [Config.model_validate({"train": {"epochs": 3}})]


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ({"train": {"epoch": 3}}, r"unknown key 'train\.epoch' \(did you mean 'train\.epochs'\?\)"),
        ({"los": "ce"}, r"unknown key 'los' \(did you mean 'loss'\?\)"),
        ({"train": {"epochs": 0}}, r"train\.epochs: .*got 0"),
        ({"optim": None}, r"optim: .*got None"),
        ({"stages": [{}]}, "a stage cannot have stages of its own"),
    ],
)
def test_what_is_wrong_with_a_stage_names_it(stage: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=f"^stage 2: {says}"):
        configs({}, stage)


def test_a_file_says_which_stage_of_it_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("stages:\n  - {train: {epochs: 1}}\n  - {train: {epohcs: 1}}\n")
    with pytest.raises(InputError, match=r"c\.yaml, stage 2: unknown key 'train\.epohcs'"):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", {"name": "unet"}),
        ("model", {"encoder": "resnet34"}),
        ("model", {"weights": "lane"}),
        ("teacher", "lane"),
        ("train.precision", "bf16"),
        ("train.ema", 0.9),
        ("train.seed", 3),
        ("train.compile", True),
        ("train.checkpoint_gradients", True),
        ("train.parallel", "fsdp"),
        ("train.sync_batchnorm", False),
        ("train.sync_loss", False),
    ],
)
def test_what_is_one_for_the_whole_run_cannot_differ(key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    stage = {section: {name: value}} if section else {key: value}
    with pytest.raises(InputError, match=f"^stage 2: {key} must be the same for the whole run"):
        configs({}, stage)
    base = Config.model_validate(stage).model_dump(mode="json", include={section or key})
    assert len(configs({}, stage, **base)) == 2, "saying the same again is no difference"


# --- a run -----------------------------------------------------------------------------------------------------------

SMALL = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", "data.samples=6"]
"""Three steps an epoch; an encoder of few weights, which are quick to save."""
TWO_STAGES = [
    *SMALL,
    "train.ema=0.9",
    "stages=[{train: {epochs: 2}, loss: ce}, "
    "{train: {epochs: 2}, data: {geometry: {size: [96, 64]}}, optim: {lr: 5.0e-4}, schedule: {warmup: 0}}]",
]
"""Two epochs of three steps at 64x32, then as many at 96x64."""


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """Leave out what takes longer than the steps: drawing curves, and waiting for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)
        patch.setattr(os, "fsync", lambda file: None)
        yield


def begin(folder: Path, *overrides: str) -> loop.Run:
    """A new run."""
    config = load_config(None, list(overrides))
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml())
    return loop.Run(config, folder)


def go_on(folder: Path) -> None:
    """Resume to the end."""
    loop.Run(resume_config(folder), folder, resume=True).train(SilentWatcher())


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of both stages."""
    folder = tmp_path_factory.mktemp("stages") / "run"
    begin(folder, *TWO_STAGES, f"data.root={scenes}").train(SilentWatcher())
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").open()))


def test_stages_follow_each_other_in_one_log(run: Path) -> None:
    rows = rows_of(run)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "6"), ("3", "9"), ("4", "12")]
    assert [row["train/dice"] == "" for row in rows] == [True, True, False, False]
    for row in rows:
        assert float(row["train/loss"]) == pytest.approx(float(row["train/ce"]) + float(row["train/dice"] or 0))


def test_each_stage_has_a_schedule_and_an_optimiser_of_its_own(run: Path) -> None:
    """A cosine from the peak to a hundredth of it over the stage's six steps, seen at its third and last."""
    wanted = [5e-4 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / 6))) for step in (2, 5)]
    assert [float(row["lr"]) for row in rows_of(run)[2:]] == pytest.approx(wanted)
    state = load_state(run / "last")["optimiser"]["state"]
    assert {float(each["step"]) for each in state.values()} == {6}


def test_each_stage_leaves_a_model_of_its_size(run: Path) -> None:
    assert read_spec(run / "stage-1.safetensors").geometry.size == (64, 32)
    assert read_spec(run / "model.safetensors").geometry.size == (96, 64)
    assert not (run / "stage-2.safetensors").exists()
    assert read_spec(run / "stage-1.safetensors").provenance["step"] in (3, 6)
    assert read_spec(run / "model.safetensors").provenance["step"] in (9, 12)


def test_the_page_on_training_names_what_is_in_a_run(run: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    table = page.split("## What is in RUN/")[1].split("\n## ")[0]
    named = {
        name.rstrip("/")
        for line in re.findall(r"^\|(.*?)\|", table, re.MULTILINE)
        for name in re.findall("`(.+?)`", line)
    }
    assert named - {"curves.png"} == {path.name for path in run.iterdir()}  # curves are not drawn here


def test_a_stage_starts_from_the_last_ones_weights(scenes: Path, tmp_path: Path) -> None:
    """The second stage's rate is too low to matter: it ends where the first one did, which moved."""
    stages = "stages=[{train: {epochs: 1}}, {train: {epochs: 1}, optim: {lr: 1.0e-12, weight_decay: 0}}]"
    one = begin(tmp_path / "run", *SMALL, f"data.root={scenes}", stages)
    start = {name: weight.detach().numpy().copy() for name, weight in one.network.named_parameters()}
    one.train(SilentWatcher())
    first, second = (load_file(tmp_path / "run" / name) for name in ("stage-1.safetensors", "model.safetensors"))
    for name in start:
        np.testing.assert_allclose(second[name], first[name], rtol=0, atol=1e-9, err_msg=name)
    assert max(np.abs(first[name] - start[name]).max() for name in start) > 1e-3
    statistics = [name for name in first if "running_mean" in name]
    assert all((first[name] != second[name]).any() for name in statistics), "the second stage has seen pictures"


class Stopper(SilentWatcher):
    """Sends Ctrl-C at a step or epoch."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind, self.number = kind, number

    def step(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        if (self.kind, self.number) == ("step", step):
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        if (self.kind, self.number) == ("epoch", row["epoch"]):
            os.kill(os.getpid(), signal.SIGINT)


def assert_equal_runs(one: Path, other: Path) -> None:
    """Models of both stages, resume state and metrics are equal bit for bit."""
    for name in ("stage-1.safetensors", "model.safetensors", "last/state.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key], err_msg=f"{name}: {key}")
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param("step", 8, id="within stage 2"),
        pytest.param("step", 6, id="after the last step of stage 1, before it is validated"),
        pytest.param("epoch", 2, id="at the boundary"),
        pytest.param("epoch", 3, id="between epochs of stage 2"),
    ],
)
def test_an_interrupted_run_ends_bit_identical(scenes: Path, run: Path, tmp_path: Path, kind: str, number: int) -> None:
    stopped = begin(tmp_path / "run", *TWO_STAGES, f"data.root={scenes}")
    with pytest.raises(KeyboardInterrupt):
        stopped.train(Stopper(kind, number))
    assert stopped.step == {"step": number, "epoch": 3 * number}[kind]
    go_on(tmp_path / "run")
    assert_equal_runs(run, tmp_path / "run")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", ["_train_stage", "enter"])
def test_a_run_killed_at_the_boundary_ends_bit_identical(scenes: Path, run: Path, tmp_path: Path, place: str) -> None:
    original = getattr(loop.Run, place)

    def entered(self: loop.Run, stage: Any, *rest: Any) -> None:
        if place == "enter":
            original(self, stage, *rest)
        if stage.number == 1:
            raise Killed
        if place != "enter":
            original(self, stage, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, place, entered)
        with pytest.raises(Killed):
            begin(tmp_path / "run", *TWO_STAGES, f"data.root={scenes}").train(SilentWatcher())
    assert load_state(tmp_path / "run" / "last")["step"] == 6
    go_on(tmp_path / "run")
    assert_equal_runs(run, tmp_path / "run")


def test_the_first_stages_model_outlives_a_kill_in_the_second(scenes: Path, run: Path, tmp_path: Path) -> None:
    """Killed after the second stage wrote its first model, before the state that knows of it."""
    original = loop.Run._save

    def save(self: loop.Run) -> None:
        if self.step == 9:
            raise Killed
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "_save", save)
        with pytest.raises(Killed):
            begin(tmp_path / "run", *TWO_STAGES, f"data.root={scenes}").train(SilentWatcher())
    assert read_spec(tmp_path / "run" / "model.safetensors").geometry.size == (96, 64)
    go_on(tmp_path / "run")
    assert_equal_runs(run, tmp_path / "run")


def test_another_order_of_stages_is_another_configuration(scenes: Path, run: Path, tmp_path: Path) -> None:
    state = load_state(run / "last")
    assert [stage["train"]["epochs"] for stage in state["config"]["stages"]] == [2, 2]
    changed = resume_config(run)
    changed = changed.changed({"stages": changed.stages[::-1]})
    with pytest.raises(InputError, match="the configuration changed since the state was saved"):
        loop.Run(changed, run, resume=True)


def test_a_stages_fault_is_found_before_the_first_begins(scenes: Path, tmp_path: Path) -> None:
    for stage, says in (
        ("{data: {split: nowhere, val_split: nowhere}}", "stage 2: .*no sample is in split 'nowhere'"),
        ("{train: {batch: 99}}", "stage 2: .*lower train.batch"),
        ("{loss: dise}", "stage 2: .*unknown loss 'dise'"),
        ("{schedule: {name: cosin}}", "stage 2: .*unknown schedule 'cosin'"),
        ("{optim: {name: adamm}}", "unknown optimiser 'adamm'"),
        ("{train: {best: iou/sky}}", "stage 2: train.best=iou/sky is not a score"),
    ):
        with pytest.raises(InputError, match=says):
            begin(tmp_path / stage[:9], *SMALL, f"data.root={scenes}", "stages=[{}, " + stage + "]")
        (tmp_path / stage[:9] / "config.yaml").unlink()
        (tmp_path / stage[:9]).rmdir()


# --- an encoder left alone -------------------------------------------------------------------------------------------


def test_a_frozen_encoder_stays_bit_equal_and_learns_in_the_next_stage(scenes: Path, tmp_path: Path) -> None:
    stages = "stages=[{train: {epochs: 1}, optim: {freeze_encoder: true}}, {train: {epochs: 1}}]"
    deep = "model.args={encoder_depth: 5, decoder_channels: [16, 8, 8, 8, 8]}"  # the whole encoder takes part
    one = begin(tmp_path / "run", *SMALL, deep, f"data.root={scenes}", stages)
    start = {name: tensor.detach().numpy().copy() for name, tensor in one.network.state_dict().items()}
    one.train(SilentWatcher())
    frozen, freed = (load_file(tmp_path / "run" / name) for name in ("stage-1.safetensors", "model.safetensors"))
    encoder = [name for name in start if ".encoder." in name]
    statistics = [name for name in encoder if "running" in name]
    assert len(statistics) >= 10
    for name in encoder:
        np.testing.assert_array_equal(frozen[name], start[name], err_msg=name)
    rest = [name for name in start if name not in encoder and start[name].dtype == np.float32]
    assert all((frozen[name] != start[name]).any() for name in rest)
    assert [name for name in encoder if (freed[name] == frozen[name]).all()] == []


def test_a_frozen_encoder_is_left_out_of_the_optimiser(scenes: Path, tmp_path: Path) -> None:
    one = begin(tmp_path / "run", *SMALL, f"data.root={scenes}", "optim.freeze_encoder=true")
    one.enter(one.stages[0])
    learning = {id(p) for group in one.optimiser.param_groups for p in group["params"]}
    names = {name for name, p in one.network.named_parameters() if id(p) in learning}
    assert names
    assert not any(".encoder." in name for name in names)

"""docs/weights.md tells the truth: each of its configurations is there and valid, and is a row of the sweep."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import timm
import torch
from miniature_files import picture
from miniatures import camvid_tree, comma_tree, competition_tree
from samples import Outcome
from walks import blocks, commands, walk

from lanecli.config import Config, load_config
from lanecli.modelfile import read_spec
from lanecli.overrides import Loader
from lanecli.shipped import configs_folder
from lanecli.textfiles import read_yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
CONFIGS = sorted((configs_folder() / "weights").glob("*.yaml"))
SWEEP = read_yaml(configs_folder() / "sweeps" / "weights.yaml", Loader)
ROWS = {
    "scenes": "scenes only",
    "real": "real only",
    "both": "both",
    "pretrained": "pretrained encoder",
    "spectral": "spectral norm",
    "repainted": "repainting",
    "self-training": "self-training",
    "teacher": "teacher",
    "distilled": "distillation",
}
"""Rows of the sweep by the configuration of their step."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_step_is_valid_and_named(path: Path) -> None:
    config = load_config(path)
    assert f"`configs/weights/{path.name}`" in TEXT
    assert config.model.name in ("unet", "unet_lite")
    for stage in config.each_stage:
        for folder in (*stage.data.root, *stage.data.unlabelled):
            assert folder in TEXT, f"{folder} is a folder the page does not make"
        if stage.data.unlabelled:
            assert stage.train.ema is not None


@pytest.mark.parametrize("step", ROWS)
def test_every_row_of_the_table_is_the_configuration_of_its_step(step: str) -> None:
    def without_idle_keys(config: Config) -> Config:
        idle = {} if config.data.unlabelled else {"unlabelled_share": 0.5, "confidence": 0.8}
        return config.changed({"data": idle}) if idle else config

    row = load_config(tree=SWEEP["base"], overrides=SWEEP["variants"][ROWS[step]])
    assert without_idle_keys(row) == without_idle_keys(load_config(configs_folder() / "weights" / f"{step}.yaml"))
    assert {*SWEEP["variants"]} == {*ROWS.values(), "repainting, twice as long"}


def test_the_scripts_are_python_and_write_what_training_reads() -> None:
    for script in blocks("weights.md", "python"):
        compile(script, "docs/weights.md", "exec")
        assert "probabilities=" in script


def test_the_blend_is_its_formula(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    marks = {name: rng.uniform(0.05, 0.95, (512, 896)).astype(np.float16) for name in ("views", "lane")}
    for name, mark in marks.items():
        (tmp_path / "answers" / name / "a").mkdir(parents=True)
        path = tmp_path / "answers" / name / "a" / "b.probabilities.npz"
        np.savez_compressed(path, probabilities=np.stack([1 - mark, mark]))
    (script,) = (block for block in blocks("weights.md", "python") if "def blend" in block)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    blended = np.load(tmp_path / "answers" / "blend" / "a" / "b.probabilities.npz")["probabilities"]
    teacher, own = (scipy.special.logit(marks[name].astype(np.float64)) for name in ("views", "lane"))
    assert "σ(logit *teacher* + ½ logit *run* + ½)" in TEXT
    expected = scipy.special.expit(teacher + 0.5 * own + 0.5)
    np.testing.assert_allclose(blended[1], expected, atol=2e-3)


@pytest.mark.slow
def test_the_page_from_data_to_the_files(cli: Callable[..., Outcome], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    competition_tree(tmp_path / "ApolloScape", size=(96, 64))
    camvid_tree(tmp_path / "CamVid", size=(96, 64))
    comma_tree(tmp_path / "comma10k", size=(96, 64))
    for folder in ("imgs", "masks"):
        for path in (tmp_path / "comma10k" / folder).glob("0009_*"):
            path.rename(path.with_name(path.name.replace("0085e9e41513078a", "836d09212ac1b8fa")))
    shutil.copytree(configs_folder(), tmp_path / "configs")
    planes = np.zeros((2, 32, 48), np.float16)
    planes[0] = 1
    for name in ("data/free/a.jpg", "data/roads/a.jpg", "data/roads/b.jpg"):
        picture(tmp_path / name, (96, 64))
        for teacher in ("teacher", "views", "blend"):
            answer = tmp_path / "answers" / teacher / Path(name).with_suffix(".probabilities.npz").name
            answer.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(answer, probabilities=planes)
    encoder = timm.create_model("efficientnet_lite0", pretrained=False)
    torch.save(encoder.state_dict(), "efficientnet-lite0-57934424.pth")
    short = ["data.geometry.size=64x32", "data.samples=4", "train.batch=2", "train.epochs=1"]
    stages = ["stages=[]"]
    smaller = {
        "synth": ["--count", "3", "--size", "96x64"],
        "train": ["--device", "cpu", *short, *stages],
        "sweep": ["--device", "cpu", *short],
        "predict": ["--device", "cpu"],
    }
    lines = [words for words in commands("weights.md") if "--resume" not in words]
    first = [words[1] for words in lines].index("sweep")
    walk(cli, lines[:first], smaller)
    assert cli(*lines[first][1:], *smaller["sweep"]).code == 1  # distillation waits for its ensemble
    walk(cli, lines[first + 1 :], smaller)
    table = (tmp_path / "runs" / "weights" / "table.md").read_text()
    assert "failed" not in table
    assert all(f"| {row} |" in table for row in ROWS.values())
    spec = read_spec(tmp_path / "lane.onnx")
    assert spec.temperature != 1
    assert {"log_density", "neco"} <= set(spec.outputs)


def test_the_list_of_frames_is_whole() -> None:
    frames = (ROOT / "docs" / "weights-frames.txt").read_text(encoding="utf-8").split()
    assert len(frames) == len(set(frames)) == 120

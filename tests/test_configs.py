"""Every configuration in ``configs/`` is started: it parses, builds, and takes two steps of each stage on a miniature.

Those of public layouts are started as their opening comment says: its ``lanecli prepare`` line makes the data folder
from a miniature of that layout, its ``lanecli train`` line names the configuration.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from miniatures import IN_FULL
from samples import Outcome

from lanecli.config import load_config
from lanecli.data.synthesise import synthesise
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.modelfile import ModelSpec
from lanecli.models.build import build_network
from lanecli.models.registry import MODELS
from lanecli.shipped import configs_folder
from lanecli.training import epoch_pictures, sweep
from lanecli.training.sweep_file import read_sweep

CONFIGS = sorted(configs_folder().glob("*.yaml"))
LAYOUTS = [path for path in CONFIGS if path.stem in IN_FULL]
SWEEPS = [
    # the whole networks of all models take minutes
    pytest.param(path, marks=pytest.mark.slow if path.stem == "models" else (), id=path.stem)
    for path in sorted((configs_folder() / "sweeps").glob("*.yaml"))
    if path.stem != "weights"  # tests/test_weights_page.py runs it on data of its own
]

TWO_STEPS = [
    "data.samples=4",
    "data.workers=0",
    "train.batch=2",
    "train.accumulate=1",
    "train.epochs=1",
    "train.precision=fp32",
]
SMALLER = {
    "apolloscape": ["model.encoder=resnet18"],
    "camvid": ["model.encoder=resnet18"],
    "comma10k": ["model.encoder=efficientnet-b0"],
    "losses": ["model.encoder=tu-mobilenetv3_small_050"],
    "classes": ["model.encoder=tu-mobilenetv3_small_050"],
}
"""Encoders in place of ones whose weights take long to save after every stage or variant."""
SMALL = [*TWO_STEPS, "data.geometry.size=[64, 32]", "model.weights=null", "model.encoder_weights=null"]


def small_stages(path: Path) -> str:
    """An override: the stages of a configuration as they are, at small sizes, and with no length of their own."""
    stages = load_config(path).stages
    for number, stage in enumerate(stages, start=1):
        for section, key in (tuple(word.partition("=")[0].split(".")) for word in TWO_STEPS):
            stage.get(section, {}).pop(key, None)
        if "size" in stage.get("data", {}).get("geometry", {}):
            stage["data"]["geometry"]["size"] = [32 + 32 * number, 16 + 16 * number]
    return f"stages={json.dumps(stages)}"


def command(path: Path, name: str) -> list[str]:
    """The words behind ``lanecli NAME`` in a configuration's opening comment."""
    lines = [line for line in path.read_text().splitlines() if line.startswith(f"#   lanecli {name} ")]
    assert len(lines) == 1, f"{path} has one line 'lanecli {name} …' in its comment"
    return shlex.split(lines[0].removeprefix("#"))[2:]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes longer than two steps: drawing curves, waiting for the disk, timing."""
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(sweep, "_TIMED", 0.0)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny scenes."""
    folder = tmp_path_factory.mktemp("miniature") / "scenes"
    synthesise(folder, count=6, size=(96, 64), seed=11, val=0.34, workers=1)
    return folder


def test_every_configuration_says_what_it_is() -> None:
    for path in CONFIGS:
        assert path.read_text().startswith("# "), path


@pytest.mark.parametrize("path", [p for p in CONFIGS if p not in LAYOUTS], ids=lambda path: path.stem)
def test_configuration_takes_two_steps(
    cli: Callable[..., Outcome], miniature: Path, tmp_path: Path, path: Path
) -> None:
    roots = len(load_config(path).data.root or [1])
    done = cli("train", path, f"data.root={[str(miniature)] * roots}", *SMALL, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json()["steps"] == 2


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.stem)
def test_configuration_of_a_layout_takes_two_steps_a_stage(
    cli: Callable[..., Outcome], tmp_path: Path, path: Path
) -> None:
    config = load_config(path)
    source, data = tmp_path / "source", tmp_path / "data"
    IN_FULL[path.stem](source)
    layout, _, *options, out, folder = command(path, "prepare")
    assert out == "--out"
    assert [folder] == config.data.root
    done = cli("prepare", layout, source, *options, "--contact-sheet", 0, "--out", data, "--json")
    assert done.code == 0, done.err
    assert {"train", "val"} <= set(done.json()["splits"])
    name, *_ = command(path, "train")
    assert name == path.stem
    small = [*TWO_STEPS, "data.geometry.size=[64, 32]", small_stages(path), *SMALLER.get(path.stem, [])]
    done = cli("train", name, "--data", data, *small, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    stages = max(1, len(config.stages))
    document = done.json()
    assert (document["steps"], len(document["epochs"])) == (2 * stages, stages)
    kept = [path.name for path in sorted((tmp_path / "run").glob("stage-*.safetensors"))]
    assert kept == [f"stage-{number}.safetensors" for number in range(1, stages)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_network_of_a_configuration_is_there(path: Path) -> None:
    model = load_config(path).model
    arguments = {**model.args, **({"encoder": model.encoder} if model.encoder else {})}
    with torch.device("meta"):  # no weights are made
        network = build_network(ModelSpec(model.name, arguments, label_map("lane"), Geometry((64, 32))))
    assert sum(weight.numel() for weight in network.parameters()) > 1e6


@pytest.mark.parametrize("path", SWEEPS)
def test_every_variant_of_a_sweep_takes_two_steps(
    cli: Callable[..., Outcome], miniature: Path, tmp_path: Path, path: Path
) -> None:
    small = [*SMALL, *SMALLER.get(path.stem, [])]
    done = cli("sweep", path, *small, "--data", miniature, "--out", tmp_path / "sweep", "--json")
    assert done.code == 0, done.err
    rows = done.json()
    assert [row["variant"] for row in rows] == list(read_sweep(path, []).variants)
    assert all("failed" not in row for row in rows)


def test_the_sweep_of_models_has_all_of_them() -> None:
    variants = read_sweep(configs_folder() / "sweeps" / "models.yaml", []).variants
    assert {name: each.configs[0].model.name for name, each in variants.items()} == {name: name for name in MODELS}

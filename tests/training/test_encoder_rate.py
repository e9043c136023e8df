"""The encoder's learning rate: its factor, its decay from layer to layer, and the steps that come of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from samples import SMALL_RUN
from torch import nn

from lanecli.config import load_config
from lanecli.sections import OptimConfig
from lanecli.training import epoch_pictures, loop
from lanecli.training.optim import _layers, build_optimiser, rate_shares
from lanecli.training.watcher import SilentWatcher


class Tiny(nn.Module):
    """An encoder of a stem, two stages of which the second has two blocks, and a last norm; and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                "stem": nn.Conv2d(3, 2, 1),
                "stage1": nn.Sequential(nn.Conv2d(2, 2, 1)),
                "stage2": nn.Sequential(
                    nn.Conv2d(2, 2, 1), nn.ModuleDict({"conv": nn.Conv2d(2, 2, 1), "norm": nn.BatchNorm2d(2)})
                ),
                "norm": nn.BatchNorm2d(2),
            }
        )
        self.decoder = nn.Conv2d(2, 2, 1)
        self.architecture = SimpleNamespace(encoders=lambda: [self.encoder])


def shares(**options: float) -> dict[str, float]:
    """The factor of every weight, by name."""
    network: Any = Tiny()
    optimiser = build_optimiser(OptimConfig(name="sgd", lr=0.5, **options), network)
    names = {id(p): name for name, p in network.named_parameters()}
    return {names[id(p)]: group["share"] for group in optimiser.param_groups for p in group["params"]}


def test_shares_are_a_factor_and_a_power_of_the_depth() -> None:
    """By hand: four layers, each a tenth of the one behind it, all of them half; the last norm is in the fourth."""
    found = shares(encoder_lr=0.5, layer_decay=0.1)
    wanted = {
        "encoder.stem.weight": 5e-4,
        "encoder.stem.bias": 5e-4,
        "encoder.stage1.0.weight": 5e-3,
        "encoder.stage1.0.bias": 5e-3,
        "encoder.stage2.0.weight": 0.05,
        "encoder.stage2.0.bias": 0.05,
        "encoder.stage2.1.conv.weight": 0.5,
        "encoder.stage2.1.conv.bias": 0.5,
        "encoder.stage2.1.norm.weight": 0.5,
        "encoder.stage2.1.norm.bias": 0.5,
        "encoder.norm.weight": 0.5,
        "encoder.norm.bias": 0.5,
        "decoder.weight": 1,
        "decoder.bias": 1,
    }
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["features.0.weight", "features.1.bias", "features.3.weight"], ["features.0", "features.0", "features.3"]),
        (
            ["stages_0.blocks.0.conv.weight", "stages_0.blocks.1.conv.weight"],
            ["stages_0.blocks.0", "stages_0.blocks.1"],
        ),
        (["stem_0.weight", "stages_1.weight"], ["stem_0", "stages_1"]),
        (["model.blocks.7.norm1.bias", "model.blocks.7.mlp.weight"], ["model.blocks.7", "model.blocks.7"]),
    ],
    ids=["vgg", "convnext", "swin", "vit"],
)
def test_layers_of_real_encoders(names: list[str], layers: list[str]) -> None:
    encoder: Any = SimpleNamespace(
        named_parameters=lambda: [(n, torch.zeros((2, 2) if n.endswith("weight") else 2)) for n in names]
    )
    assert [layer for layer, _ in _layers(encoder)] == layers


def test_a_factor_alone_is_the_same_for_all_layers() -> None:
    found = shares(encoder_lr=0.25)
    assert {share for name, share in found.items() if name.startswith("encoder")} == {0.25}
    assert {share for name, share in found.items() if name.startswith("decoder")} == {1.0}


def test_without_either_nothing_is_shared_out() -> None:
    network: Any = Tiny()
    assert rate_shares(OptimConfig(), network) == {}
    assert set(shares().values()) == {1.0}


def step_of(scenes: Path, folder: Path, *overrides: str) -> dict[str, torch.Tensor]:
    """How far the first step of plain gradient descent moves each weight."""
    plain = ["optim.name=sgd", "optim.args={momentum: 0}", "optim.weight_decay=0", "train.clip=null"]
    one_step = ["train.epochs=1", "data.samples=2", "schedule.name=constant", "schedule.warmup=0"]
    small = [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", f"data.root={scenes}"]
    folder.mkdir()
    run = loop.Run(load_config(None, [*small, *plain, *one_step, *overrides]), folder)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    run.train(SilentWatcher())
    assert run.step == 1
    return {name: p.detach() - before[name] for name, p in run.network.named_parameters()}


def test_the_encoder_moves_by_its_share(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)
    whole = step_of(scenes, tmp_path / "whole", "optim.lr=1")
    slow = step_of(scenes, tmp_path / "slow", "optim.lr=1", "optim.encoder_lr=0.25")
    moved = 0
    for name, step in whole.items():
        share = 0.25 if ".encoder." in name else 1.0
        torch.testing.assert_close(slow[name], share * step, rtol=1e-3, atol=1e-6, msg=name)
        moved += bool(step.abs().max() > 1e-4) and share < 1
    assert moved > 10

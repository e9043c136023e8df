"""Every configuration in ``configs/`` is started: it parses, builds, and takes two steps on a miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from samples import Outcome

from lanecli.data.synthesise import synthesise
from lanecli.shipped import configs_folder

CONFIGS = sorted(configs_folder().glob("*.yaml"))
SWEEPS = sorted((configs_folder() / "sweeps").glob("*.yaml"))


SMALL = [
    "data.geometry.size=[64, 32]",
    "data.samples=4",
    "data.workers=0",
    "model.weights=null",
    "model.encoder_weights=null",
    "train.batch=2",
    "train.epochs=1",
    "train.precision=fp32",
]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny scenes."""
    folder = tmp_path_factory.mktemp("miniature") / "scenes"
    synthesise(folder, count=6, size=(96, 64), seed=11, val=0.34, workers=1)
    return folder


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configuration_takes_two_steps(
    cli: Callable[..., Outcome], miniature: Path, tmp_path: Path, path: Path
) -> None:
    roots = len((yaml.safe_load(path.read_text()).get("data") or {}).get("root") or [1])
    done = cli("train", path, f"data.root={[str(miniature)] * roots}", *SMALL, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json()["steps"] == 2


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_variant_of_a_sweep_takes_two_steps(
    cli: Callable[..., Outcome], miniature: Path, tmp_path: Path, path: Path
) -> None:
    done = cli("sweep", path, *SMALL, "--data", miniature, "--out", tmp_path / "sweep", "--json")
    assert done.code == 0, done.err
    rows = done.json()
    assert [row["variant"] for row in rows] == list(yaml.safe_load(path.read_text())["variants"])
    assert all("failed" not in row for row in rows)

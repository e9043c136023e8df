"""docs/weights.md tells the truth: each of its configurations is there and valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lanecli.config import load_config
from lanecli.shipped import configs_folder

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
CONFIGS = sorted((configs_folder() / "weights").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_step_is_valid_and_named(path: Path) -> None:
    config = load_config(path)
    assert f"`configs/weights/{path.name}`" in TEXT
    assert config.model.name == "linknet"
    for root in (*config.data.root, *config.data.unlabelled):
        assert root in TEXT, f"{root} is a folder the page does not make"
    if config.data.unlabelled:
        assert config.train.ema is not None


def test_the_script_for_another_teacher_is_python() -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    compile(script, "docs/weights.md", "exec")
    assert "probabilities=" in script


def test_the_list_of_frames_is_whole() -> None:
    frames = (ROOT / "docs" / "weights-frames.txt").read_text(encoding="utf-8").split()
    assert len(frames) == len(set(frames)) == 120

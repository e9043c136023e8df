"""docs/weights.md tells the truth: its commands and configurations exist, and each configuration is valid."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import Outcome

from lanecli.config import load_config
from lanecli.shipped import configs_folder

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.strip().splitlines()
]
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


def test_commands_and_configurations_exist(cli: Callable[..., Outcome]) -> None:
    helps: dict[str, str] = {}
    for command, *rest in (words[1:] for words in COMMANDS):
        if command not in helps:
            helps[command] = cli(command, "--help").out
        for word in rest:
            if word.startswith("--"):
                assert word in helps[command], f"{word} is no option of {command}"
            if word.startswith("configs/"):
                assert (ROOT / word).is_file(), word


def test_the_script_for_another_teacher_is_python() -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    compile(script, "docs/weights.md", "exec")
    assert "probabilities=" in script


def test_the_list_of_frames_is_whole() -> None:
    frames = (ROOT / "docs" / "weights-frames.txt").read_text(encoding="utf-8").split()
    assert len(frames) == len(set(frames)) == 120

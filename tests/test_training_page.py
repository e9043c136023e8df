"""docs/training.md tells the truth: its configurations are read without an error, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lanecli.config import known_keys, load_config
from lanecli.shipped import configs_folder
from lanecli.training.sweep_file import read_sweep

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_configurations_are_valid(text: str, tmp_path: Path) -> None:
    if "grid" in yaml.safe_load(text):
        (tmp_path / "sweep.yaml").write_text(text)
        assert len(read_sweep(tmp_path / "sweep.yaml", []).variants) == 4
        return
    load_config(tree=yaml.safe_load(text))


def test_overrides_in_the_text_are_keys() -> None:
    """What is written as `section.key` or `section.key=value`."""
    sections = {key.split(".")[0] for key in known_keys() if "." in key}
    named = [word.split("=")[0] for word in re.findall(r"`([\w.]+(?:=[^`]*)?)`", TEXT)]
    keys = [key for key in named if key.split(".")[0] in sections and "." in key and not key.endswith(".safetensors")]
    assert len(keys) > 15
    assert set(keys) <= set(known_keys())


def test_ready_configurations_are_named() -> None:
    for path in configs_folder().glob("*.yaml"):
        assert f"`{path.stem}`" in TEXT

"""docs/training.md tells the truth: its commands and configurations are read without an error, its links exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from samples import Outcome

from lanecli.cli.train import _settings
from lanecli.config import known_keys, load_config
from lanecli.shipped import configs_folder
from lanecli.training.sweep_file import read_sweep

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


ENSEMBLES = PAGE.with_name("ensembles.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for page in (TEXT, ENSEMBLES)
    for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for line in block.strip().splitlines()
    if line.strip()
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_options_and_overrides_exist(cli: Callable[..., Outcome], words: list[str]) -> None:
    command, *rest = words[words.index("lanecli") + 1 :]
    group = [command, rest[0]] if command == "ensemble" else [command]
    assert words[: words.index("lanecli")] in ([], ["torchrun", "--nproc-per-node", "2", "-m"])
    done = cli(*group, "--help")
    assert done.code == 0, done.err
    for option in (word for word in rest if word.startswith("--")):
        assert option in done.out, f"{option} is no option of {command}"
    if command == "train" and "--resume" not in rest:
        valued = ("--out", "--data", "--members", "--folds", "--boosting", "--snapshots")
        values = {rest.index(option) + 1 for option in valued if option in rest}
        _settings([w for i, w in enumerate(rest) if not w.startswith("--") and i not in values], [])


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


def test_links_and_named_configurations_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT + ENSEMBLES):
        assert (PAGE.parent / target).exists(), target
    for path in configs_folder().glob("*.yaml"):
        assert f"`{path.stem}`" in TEXT or path.stem.startswith("lane-stage")

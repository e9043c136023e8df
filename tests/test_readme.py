"""The README tells the truth: its files exist, its commands parse, its options are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import Outcome

from lanecli.models.facts import read_facts
from lanecli.models.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line.split("&&")[-1], comments=True)
    for block in BLOCKS
    for line in block.strip().splitlines()
    if re.search(r"\blanecli [a-z]", line)
]


def test_it_opens_with_a_picture_and_two_commands() -> None:
    head = README.split("\n## ")[0]
    assert re.search(r"!\[[^]]+\]\(assets/[\w.-]+\)", head)
    assert len(BLOCKS) >= 2
    assert "lanecli predict assets/road.mp4" in BLOCKS[0]
    assert "pytest" in BLOCKS[1]


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_and_options_exist(cli: Callable[..., Outcome], words: list[str]) -> None:
    start = next(i for i, word in enumerate(words) if word.endswith("lanecli"))
    groups = ("export", "score", "uncertainty", "ensemble")
    group = words[start + 1 : start + 3] if words[start + 1] in groups else words[start + 1 : start + 2]
    done = cli(*group, "--help")
    assert done.code == 0, done.err
    for option in (word.split("=")[0] for word in words[start:] if word.startswith("--")):
        assert option in done.out, f"{option} is no option of {' '.join(group)}"


def test_the_table_has_every_architecture_with_its_measured_costs() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    lines = page.partition("## The compared networks and the full ones")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.count("|") == 9]
    table = {row[0]: row[5:] for row in rows if row[0] in MODELS}
    assert set(table) == set(MODELS)
    for name, facts in read_facts()["models"].items():
        costs = facts["parameters"] / 1e6, facts["macs"] / 1e9, facts["ms"]["openvino"]["fp32"]
        assert table[name] == [f"{costs[0]:.1f}", f"{costs[1]:.1f}", f"{costs[2]:.0f}"], name

"""The README opens as it should, and the table of architectures has the measured figures."""

from __future__ import annotations

import re
from pathlib import Path

from lanecli.models.facts import read_facts
from lanecli.models.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_it_opens_with_a_picture_and_two_commands() -> None:
    head = README.split("\n## ")[0]
    assert re.search(r"!\[[^]]+\]\(assets/[\w.-]+\)", head)
    assert len(BLOCKS) >= 2
    assert "lanecli predict assets/road.mp4" in BLOCKS[0]
    assert "pytest" in BLOCKS[1]


def test_the_table_has_every_architecture_with_its_measured_costs() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    lines = page.partition("## The compared networks and the full ones")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.count("|") == 9]
    table = {row[0]: row[5:] for row in rows if row[0] in MODELS}
    assert set(table) == set(MODELS)
    for name, facts in read_facts()["models"].items():
        ms = f"{facts['ms']['openvino']['fp32']:.0f}" if "ms" in facts else "–"  # added after the machine was there
        assert table[name] == [f"{facts['parameters'] / 1e6:.1f}", f"{facts['macs'] / 1e9:.1f}", ms], name

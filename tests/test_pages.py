"""docs/architecture.md and docs/deploy.md tell the truth: what they name is there, what they show runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lanecli.media import read_mask, write_picture
from lanecli.shipped import find_model

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    "page", sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]), ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_files_the_architecture_page_names_are_there() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:lanecli|tests)/[\w/.]+)`", text)
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists(), path


def test_layers_of_the_architecture_page_are_those_under_test() -> None:
    from test_imports import LAYERS

    text = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Layers")[2]
    lines = re.search(r"```\n(.*?)```", text, flags=re.DOTALL).group(1).splitlines()
    assert [set(line.split(", ")) for line in lines] == [set(layer) for layer in reversed(LAYERS)]


def test_the_deploy_pages_script_runs_without_lanecli(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "deploy.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    script, openvino = (block.replace('"lanes.onnx"', repr(str(find_model("lane")))) for block in blocks)
    assert "lanecli" not in script.replace(str(find_model("lane")), "")
    write_picture(tmp_path / "p.png", np.full((90, 160, 3), 120, np.uint8))
    ran = subprocess.run(
        [sys.executable, "-c", script, "p.png"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert read_mask(tmp_path / "mask.png").shape == (90, 160)
    values = {"pictures": np.full((2, 90, 160, 3), 120, np.uint8)}
    exec(openvino, values)
    assert values["class_map"].shape == (2, 90, 160)

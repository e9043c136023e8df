"""Three ways from README to done, each walked command by command in miniature: docs/course, own-camera, comparison."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from miniature_files import picture, stored
from miniatures import FULL_SIZE, camvid_tree, competition_at_full_size
from samples import Outcome, write_video
from walks import blocks, commands, walk

from lanecli.labelmaps import label_map
from lanecli.shipped import find_model
from lanecli.training import epoch_pictures, sweep, sweep_table

Cli = Callable[..., Outcome]
SHORT = [
    "data.geometry.size=64x32",
    "data.workers=0",
    "train.batch=2",
    "train.epochs=1",
    "train.precision=fp32",
    "train.ema=null",
]


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_course_ends_in_the_submission(tmp_path: Path, cli: Cli) -> None:
    competition_at_full_size(tmp_path, "ApolloScape")
    smaller = {
        "prepare": ["--contact-sheet", "1"],
        "train": ["--device", "cpu", *SHORT, "stages=[]", "model.encoder=tu-test_resnet"],
        "evaluate": ["--device", "cpu"],
        "predict": ["--device", "cpu"],
    }
    lines = commands("course.md")
    lines[0][lines[0].index("1536x512")] = "192x64"
    walk(cli, lines, smaller)
    for run, name in (("unet", "unet"), ("deeplab", "deeplabv3plus")):
        assert {"curves.png", "metrics.csv", "samples", "config.yaml"} <= {p.name for p in Path("runs", run).iterdir()}
        assert f"architecture  {name} " in cli("show", f"runs/{run}").out
        assert (Path("scores") / run / "pictures.csv").is_file()
    scores = json.loads(Path("scores/both/evaluation.json").read_text())
    assert scores["model"] == ["runs/unet", "runs/deeplab"]
    (handed_in,) = [path for path in Path("submission").rglob("*") if path.is_file()]
    assert handed_in == Path("submission/Road05/Record001/Camera 5/a.png")
    mask = stored(handed_in)
    assert mask.shape == FULL_SIZE[::-1]
    assert set(np.unique(mask)) <= {c.decoded for c in label_map("apolloscape-8").classes}
    assert not mask[:690].any()


def cvat_export(frames: Path, archive: Path) -> None:
    """What CVAT writes for the pictures of a folder: the white stripe of each as a polygon; without the pictures."""
    images = []
    for number, path in enumerate(sorted(frames.iterdir())):
        pixels = stored(path)
        bright = np.nonzero(pixels.mean(axis=(0, 2)) > 128)[0]
        left, right, height = bright[0], bright[-1] + 1, pixels.shape[0]
        points = f"{left},0;{right},0;{right},{height};{left},{height}"
        images.append(
            f'<image id="{number}" name="{path.name}" width="{pixels.shape[1]}" height="{height}">'
            f'<polygon label="lane marking" points="{points}" z_order="0"/></image>'
        )
    label = "<label><name>lane marking</name><color>#00ff00</color></label>"
    xml = f"<annotations><meta><task><labels>{label}</labels></task></meta>{''.join(images)}</annotations>"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("annotations.xml", xml)


def run_script(words: list[str]) -> str:
    """Run the page's script under a Python that may import all but lanecli."""
    (script,) = blocks("own-camera.md", "python")
    assert "lanecli" not in script
    Path("lanes.py").write_text(script)
    ran = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow  # it exports the shipped model's architecture
def test_ones_own_camera_ends_in_a_script_of_ones_own(tmp_path: Path, cli: Cli) -> None:
    write_video(tmp_path / "drive.mp4", frames=10 * 4)
    *lines, script = commands("own-camera.md")
    lines[0][lines[0].index("250")] = "4"
    smaller = {
        "prepare": ["--overwrite"],
        "train": ["--device", "cpu", "data.workers=0", "train.epochs=1", "data.geometry.size=128x64"],
        "predict": ["--every", "20"],
    }
    walk(cli, lines[:1], smaller)
    assert len(list(Path("frames").iterdir())) == 10
    cvat_export(Path("frames"), Path("labels.zip"))
    prepared, *_ = walk(cli, lines[1:], smaller)
    assert "lane marking ← 'lane marking'" in prepared.out
    assert "splits: train 8, val 2" in prepared.out
    assert run_script([word.replace("250", "004") for word in script]).count("% lane marking") == 2
    assert stored(Path("frames/drive_000004.lanes.png")).shape == (64, 128, 3)


def test_the_script_of_ones_own_runs_an_exported_file(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(find_model("lane").read_bytes())
    *_, words = commands("own-camera.md")
    for name in words[2:]:
        picture(tmp_path / name, (96, 54))
    assert run_script(words).count("% lane marking, surest 0.") == 2
    assert stored(tmp_path / "frames/drive_000250.lanes.png").shape == (54, 96, 3)


def rows_of(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_a_comparison_ends_in_the_table(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With twelve runs of one step each; curves and bars are not drawn after each of them."""
    monkeypatch.setattr(epoch_pictures, "draw_curves", lambda rows, path: None)
    monkeypatch.setattr(sweep_table, "_plot", lambda rows, path: None)
    monkeypatch.setattr(sweep, "_TIMED", 0.0)
    camvid_tree(tmp_path / "CamVid", (96, 72))
    (file,) = blocks("comparison.md", "yaml")
    Path("paper.yaml").write_text(file)
    smaller = {
        "prepare": ["--contact-sheet", "0"],
        "sweep": ["--device", "cpu", *SHORT, "model.encoder=tu-test_resnet", "train.sample_epochs=0"],
        "evaluate": ["--device", "cpu"],
    }
    outcomes = walk(cli, commands("comparison.md"), smaller)
    assert "a sweep of 4 variants: unet, ce, unet, ce+dice" in outcomes[1].out
    assert "12/12 deeplabv3plus, ce+dice, seed 2" in outcomes[2].err
    names = {"unet, ce", "unet, ce+dice", "deeplabv3plus, ce", "deeplabv3plus, ce+dice"}
    rows = rows_of("runs/paper/table.csv")
    assert {row["variant"] for row in rows} == names
    assert all(row["lane_iou_sd"] and row["seeds"] == "3" for row in rows)
    assert len(rows_of("runs/paper/runs.csv")) == 12
    latex = Path("runs/paper/table.tex").read_text()
    assert latex.count("$\\pm$") >= 4
    assert "\\toprule" in latex
    assert Path("scores/pictures.jpg").is_file()

"""Disks that run full: one line, exit code 1, nothing half-written under a final name."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import write_video
from test_predict_faults import frames, pictures
from victims import Victim

from lanecli.media import read_picture


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        ("synth", 3000),
        pytest.param("synth --video", 60_000, marks=pytest.mark.slow),
        pytest.param("prepare", 60, marks=pytest.mark.slow),
        ("predict", 100),
        ("predict video", 20_000),
        pytest.param("predict masks", 100, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    command: str, limit: int, bright: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    source = pictures(tmp_path / "layout" / "images", 3)
    pictures(tmp_path / "layout" / "masks", 3)
    video = write_video(tmp_path / "clip.mp4", frames=200, size=(320, 180))
    lines: dict[str, list[object]] = {
        "synth": ["synth", out, "--count", 3, "--size", "128x96", "--workers", 1],
        "synth --video": ["synth", out, "--count", 60, "--size", "128x96", "--video"],
        "prepare": ["prepare", "folder", tmp_path / "layout", "--classes", "lane", "--size", "32x32", "--out", out],
        "predict": ["predict", source, "--model", bright, "--out", out],
        "predict video": ["predict", video, "--model", bright, "--out", out],
        "predict masks": ["predict", video, "--model", bright, "--save", "masks", "--out", out],
    }
    victim = Victim(*lines[command], cwd=tmp_path, largest_file=limit)
    code = victim.end(120)
    assert code == 1, victim.err
    assert "Traceback" not in victim.err
    assert "bug in lanecli" not in victim.err
    assert any(word in victim.err for word in ("File too large", "cannot be written", "No space")), victim.err
    for path in out.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            if path.suffix in (".png", ".jpg"):
                read_picture(path)
            elif path.suffix == ".mp4":
                assert list(frames(path))
    assert not [path for path in out.rglob(".*") if "partial" in path.name or path.suffix == ".lock"]

"""`lanecli prepare` over every folder of inputs that came out wrong once; what each wants stands in the table there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from miniature_files import stored
from samples import Outcome

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "data"
FORMATS = {
    **{"cam": "camvid", "coco": "coco", "rf": "coco", "rfg": "coco", "cu": "culane", "cv": "cvat", "cvg": "cvat"},
    **{"fo": "folder", "lm": "labelme", "sm": "cvat", "tu": "tusimple"},
}
BOX = (10, 10, 30, 30)
"""The outer corners of the polygon most of the folders hold."""


@dataclass(frozen=True)
class Wanted:
    """What a folder gives: its splits, pixels that are lane in the first mask, words said, and options."""

    splits: dict[str, int] = field(default_factory=dict)
    box: tuple[int, int, int, int] | None = None
    said: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    code: int = 0


ONE = {"train": 1}
WANTED: dict[str, Wanted] = {
    "rfg_aug": Wanted({"train": 30}, BOX, ("1 group of 30 pictures", "--by frame")),
    "cvg_twovideos": Wanted({"train": 10, "val": 10}, BOX, ("2 groups of 20 pictures, by CVAT task",)),
    "cv_proj": Wanted({"train": 1, "val": 1}, BOX, ("the subsets of the CVAT project",)),
    "fo_late255": Wanted({"train": 30}, None, ("lane marking ← 255",)),
    "fo_exif6": Wanted({"train": 2}),
    "lm_exif6": Wanted(ONE, BOX),
    "lm_ignore": Wanted(ONE, BOX, ("ignored ← '__ignore__'",)),
    "lm_words": Wanted(ONE, BOX, ("lane marking ← 'solid lane'", "background ← 'hedge'"), ("--classes", "lane")),
    "sm_setbom": Wanted({"train": 2, "val": 2}, None, ("train.txt, val.txt",)),
    "sm_quote": Wanted({"train": 2, "val": 2}),
    "sm_ext": Wanted({"train": 2, "val": 2}),
    "sm_partial": Wanted({"train": 2, "val": 1}, None, ("1 pictures are in no official split", ": d")),
    "sm_bom": Wanted({"train": 3, "val": 1}),
    "lm_bom": Wanted(ONE, BOX),
    "coco_bom": Wanted(ONE, BOX),
    "cu_bom": Wanted({"train": 2}),
    "tu_bom": Wanted(ONE),
    "lm_gbk": Wanted(code=2, said=("a.json line 1: is not UTF-8",)),
    "coco_folder": Wanted(ONE, BOX),
    "cv_win": Wanted(ONE, BOX),
    "tu_win": Wanted(ONE),
    "tu_lead": Wanted(ONE),
    "lm_relpath": Wanted(ONE, BOX),
    "coco_ls2": Wanted(ONE, BOX),
    "coco_bbox": Wanted(ONE, None, ("2 boxes without an outline", "there is nothing to learn")),
    "coco_2pt": Wanted(ONE, None, ("1 polygons of fewer than three points", "there is nothing to learn")),
    "lm_poly2": Wanted(ONE, None, ("1 polygons of fewer than three points", "there is nothing to learn")),
    "coco_strid": Wanted(ONE, BOX),
    "coco_dangling": Wanted(ONE, BOX, ("1 annotations of pictures the file does not name",)),
    "lm_nojson": Wanted(ONE, BOX, ("1 pictures without a JSON file left out", "a.jpg")),
    "coco_nullsize": Wanted(ONE, BOX),
    "lm_nosize": Wanted(ONE, BOX),
    "lm_nullsize": Wanted(ONE, BOX),
    "lm_imagedata": Wanted(ONE, BOX),
    "lm_rect4": Wanted(ONE, BOX),
    "lm_rotation": Wanted(ONE, BOX),
    "lm_upper": Wanted(ONE, BOX),
    "coco_kinds": Wanted(ONE, BOX, ("left out, since nothing has this label: lane-seg",)),
    "coco_stuff": Wanted(ONE, BOX),
    "coco_dupimg": Wanted(ONE, None),
    "rf": Wanted({"train": 1, "val": 1, "test": 1}, BOX, ("the names of the annotation files or their folders",)),
    "cv_mask": Wanted(ONE),
    "lm_maskedge": Wanted(ONE),
    "cv_float": Wanted(ONE),
    "fo_jpg": Wanted(code=2, said=("masks are JPEG files, in which ids are not exact",)),
    "fo_rgb255": Wanted({"train": 4}, None, ("lane marking ← 255",)),
    "cam_kaggle": Wanted({"train": 1, "val": 1, "test": 1}, None, ("the folders train, val, test",)),
    "cam_fastai": Wanted({"val": 1}, None, ("valid.txt",)),
    "cu_linesonly": Wanted(ONE, None, ("drawn from *.lines.txt",)),
    "tu_array": Wanted(ONE),
}


def prepared(cli: Callable[..., Outcome], name: str, out: Path) -> tuple[Outcome, dict[str, Any] | None]:
    if not (CASES / name).is_dir():
        pytest.skip(f"{CASES / name} is not there")
    options = (*WANTED[name].options, "--contact-sheet", "0")
    outcome = cli("prepare", FORMATS[name.split("_")[0]], CASES / name, "--out", out, *options)
    path = out / "dataset.yaml"
    return outcome, yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def test_every_folder_is_wanted_something_of() -> None:
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is not there")
    assert {path.name for path in CASES.iterdir()} == set(WANTED)


@pytest.mark.parametrize("name", WANTED)
def test_folder(tmp_path: Path, cli: Callable[..., Outcome], name: str) -> None:
    wanted, out = WANTED[name], tmp_path / "out"
    outcome, described = prepared(cli, name, out)
    assert outcome.code == wanted.code, outcome.err
    for words in wanted.said:
        assert words in outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    if wanted.code:
        assert not out.exists()
        assert outcome.err.count("\n") == 1
        return
    assert described is not None
    assert described["splits"] == wanted.splits
    assert list(described["prepared"]) == ["classes", "annotations", "groups", "splits"]
    assert outcome.out.splitlines()[-4:] == [f"{what}: {how}" for what, how in described["prepared"].items()]
    if wanted.box is not None:
        left, top, right, bottom = wanted.box
        for mask in (out / "masks").rglob("*.png"):
            inside = np.zeros(stored(mask).shape, bool)
            inside[top:bottom, left:right] = True
            assert np.array_equal(stored(mask) == 1, inside)


def test_ignored_shapes_are_ignored(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    _, described = prepared(cli, "lm_ignore", tmp_path / "out")
    assert described is not None
    assert [c["name"] for c in described["label_map"]["classes"]] == ["background", "lane"]
    assert (stored(tmp_path / "out/masks/a.png")[10:30, 40:60] == 255).all()


def test_stored_masks_of_turned_pictures_are_turned(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    """What the mask calls lane is what is bright in the picture as it is shown."""
    from lanecli.media.pictures import read_picture

    prepared(cli, "fo_exif6", tmp_path / "out")
    mask = stored(tmp_path / "out/masks/a0.png")
    picture = read_picture(CASES / "fo_exif6/images/a0.jpg")
    assert mask.shape == picture.shape[:2] == (64, 48)
    assert ((picture.mean(axis=2) > 127) == (mask == 1)).mean() > 0.99


def test_both_shapes_of_a_picture_named_twice(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    prepared(cli, "coco_dupimg", tmp_path / "out")
    mask = stored(tmp_path / "out/masks/a.png")
    assert mask[10:30, 10:30].all()
    assert mask[10:30, 40:60].all()


def test_masks_over_the_border_are_cut_off(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    prepared(cli, "lm_maskedge", tmp_path / "lm")
    prepared(cli, "cv_mask", tmp_path / "cv")
    assert stored(tmp_path / "lm/masks/a.png").any()
    # 4 ones of 5 columns at 60, then zero-based runs 0, 4, 2, 4: a row of 1 1 1 1 0 and one of 0 1 1 1 1
    assert stored(tmp_path / "cv/masks/a.png")[40:42, 60:].tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]


def test_lanes_of_lines_files_stand_in_lanes_jsonl(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    prepared(cli, "cu_linesonly", tmp_path / "out")
    (line,) = (tmp_path / "out/lanes.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert found["image"] == "driver_1/a.MP4/00000.jpg"
    assert found["lanes"][0]["points"] in ([[10, 50], [12, 40], [14, 30]], [[10.0, 50.0], [12.0, 40.0], [14.0, 30.0]])

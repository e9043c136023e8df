"""TuSimple and LLAMAS: annotated lines to slot-coded masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature_files import as_json, ids, picture, stored, text
from miniatures import tusimple_clip, tusimple_line, tusimple_tree

from lanecli.data.job import Job
from lanecli.data.lanes import EXTRA, assign_slots, bottom_crossing
from lanecli.data.manifest import DatasetInfo
from lanecli.data.prepare import prepare_dataset
from lanecli.errors import InputError

SIZE = (128, 72)


def prepare(name: str, source: Path, out: Path, note: Callable[[str], object] = print, **options: Any) -> DatasetInfo:
    return prepare_dataset(Job(name, source, out, contact_sheet=0, **options), note=note)


def test_tusimple_only_the_20th_frame_of_a_clip_is_labelled(tmp_path: Path) -> None:
    info = prepare("tusimple", tusimple_tree(tmp_path / "src"), tmp_path / "out")
    assert [s.image.name for s in info.samples] == ["20.jpg", "20.jpg"]
    assert [s.group for s in info.samples] == ["clips/0313-1/60", "clips/0531/7"]


def test_tusimple_0531_is_the_validation_part(tmp_path: Path) -> None:
    info = prepare("tusimple", tusimple_tree(tmp_path / "src"), tmp_path / "out")
    assert [s.split for s in info.samples] == ["train", "val"]


def test_tusimple_absent_points_are_not_drawn(tmp_path: Path) -> None:
    """-2 is no x: a line to column -2 would run along the left edge."""
    info = prepare("tusimple", tusimple_tree(tmp_path / "src"), tmp_path / "out", line_width=3)
    mask = stored(info.samples[0].mask)
    assert np.nonzero(mask[40])[0].tolist() == [37, 38, 39, 91, 92, 93]
    assert not mask[31:59, :12].any()
    assert mask[66, 6:9].all()


def test_tusimple_slots_count_from_the_camera(tmp_path: Path) -> None:
    info = prepare("tusimple", tusimple_tree(tmp_path / "src"), tmp_path / "out", classes="tusimple-slots")
    mask = stored(info.samples[0].mask)
    assert (mask[40, 38], mask[40, 92], mask[66, 7]) == (3, 4, 2)
    assert np.nonzero(mask[40] == 3)[0].size in (15, 16)  # slots are drawn 15 wide, along a slanted line


def test_tusimple_binary_and_lane_draw_every_lane(tmp_path: Path) -> None:
    for name in ("tusimple-binary", "lane"):
        info = prepare("tusimple", tusimple_tree(tmp_path / "src"), tmp_path / name, classes=name)
        mask = stored(info.samples[0].mask)
        assert np.unique(mask).tolist() == [0, 1]
        assert mask[40, 38] == mask[40, 92] == mask[66, 7] == 1


def test_tusimple_json_is_kept_for_scoring(tmp_path: Path) -> None:
    root = tusimple_tree(tmp_path / "src")
    info = prepare("tusimple", root, tmp_path / "out", size=(64, 36))
    assert (info.root / "labels.train.json").read_text() == (root / "label_data_0313.json").read_text()
    assert json.loads((info.root / "labels.val.json").read_text())["raw_file"] == "clips/0531/7/20.jpg"


def test_tusimple_kaggle_copy_nests_its_sets(tmp_path: Path) -> None:
    root = tmp_path / "TUSimple"
    tusimple_tree(root / "train_set")
    text(root / "test_set/test_label.json", tusimple_line(tusimple_clip(root / "test_set", "clips/0530/1"), []))
    assert prepare("tusimple", root, tmp_path / "out").splits == {"train": 1, "val": 1, "test": 1}


def test_tusimple_missing_clips_are_named(tmp_path: Path) -> None:
    root = tusimple_tree(tmp_path / "src")
    with (root / "label_data_0313.json").open("a") as file:
        file.write(tusimple_line("clips/gone/20.jpg", []))
    notes: list[str] = []
    assert len(prepare("tusimple", root, tmp_path / "out", note=notes.append).samples) == 2
    assert any("1 pictures named in label_data_0313.json" in n and "gone" in n for n in notes)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"raw_file": "a.jpg"}',
        '{"raw_file": "a.jpg", "lanes": [[1, 2]], "h_samples": [5]}',
        '"a"',
    ],
)
def test_tusimple_malformed_line_is_named(tmp_path: Path, content: str) -> None:
    text(tmp_path / "src/label_data_0601.json", f"\n{content}\n")
    with pytest.raises(InputError, match=r"label_data_0601\.json line 2"):
        prepare("tusimple", tmp_path / "src", tmp_path / "out")


def lanenet_tree(root: Path) -> Path:
    """Instances numbered in no order of place: 20 is right of the camera, 70 far left, 120 left."""
    instances = np.zeros((72, 128), np.uint8)
    for row in range(30, 72):
        for grey, top, slope in ((20, 70, 0.6), (70, 50, -1.2), (120, 60, -0.4)):
            x = round(top + slope * (row - 30))
            instances[row, max(0, x - 1) : x + 2] = grey
    picture(root / "image/0000.png", SIZE)
    ids(root / "gt_instance_image/0000.png", instances)
    ids(root / "gt_binary_image/0000.png", np.where(instances > 0, 255, 0))
    return root


def test_tusimple_lanenet_folders_binary(tmp_path: Path) -> None:
    root = lanenet_tree(tmp_path / "src")
    info = prepare("tusimple", root, tmp_path / "out", classes="lane")
    assert np.array_equal(stored(info.samples[0].mask) == 1, stored(root / "gt_binary_image/0000.png") == 255)


def test_tusimple_lanenet_instances_become_slots(tmp_path: Path) -> None:
    root = lanenet_tree(tmp_path / "src")
    info = prepare("tusimple", root, tmp_path / "out", classes="tusimple-slots")
    instances, mask = stored(root / "gt_instance_image/0000.png"), stored(info.samples[0].mask)
    assert {g: set(mask[instances == g].tolist()) for g in (0, 20, 70, 120)} == {0: {0}, 20: {4}, 70: {2}, 120: {3}}


def test_foot_of_a_straight_lane() -> None:
    lane = np.array([(10.0, 0.0), (20.0, 10.0), (30.0, 20.0), (40.0, 30.0)])
    assert bottom_crossing(lane, 101) == pytest.approx(110)
    assert bottom_crossing(np.array([(5.0, 7.0)]), 100) == 5


def test_slots_beyond_the_third_are_extra() -> None:
    lanes = [np.array([(x, 0.0), (x, 9.0)]) for x in (1.0, 12.0, 24.0, 36.0, 60.0)]
    assert assign_slots(lanes, (100, 10)) == [EXTRA, 1, 2, 3, 4]


def llamas_tree(root: Path) -> Path:
    def markers(x: int) -> list[dict[str, Any]]:
        spans = [(60, 50), (40, 30)]
        return [{"pixel_start": {"x": x, "y": a}, "pixel_end": {"x": x, "y": b}} for a, b in spans]

    lanes = [{"lane_id": k, "markers": markers(x)} for k, x in (("l1", 10), ("l0", 30), ("r0", 60), ("r2", 100))]
    for split in ("train", "valid"):
        stem = f"{split}/images-2014-12-22-12-35-10_mapping_280S_ramps/1419280510_0629650000"
        picture(root / "color_images" / f"{stem}_color_rect.png", SIZE)
        as_json(root / "labels" / f"{stem}.json", {"image_name": "x", "lanes": lanes})
    picture(root / "color_images/test/run/1_color_rect.png", SIZE)
    return root


def test_llamas_lines_run_through_the_gaps_between_markers(tmp_path: Path) -> None:
    info = prepare("llamas", llamas_tree(tmp_path / "src"), tmp_path / "out", line_width=3)
    assert info.splits == {"train": 1, "val": 1}
    mask = stored(info.samples[0].mask)
    for row in (35, 45, 55):
        assert mask[row][mask[row] > 0].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 255, 255, 255]
    assert not mask[:29].any()


def test_llamas_lanes_beyond_the_four_are_lane_markings_too(tmp_path: Path) -> None:
    info = prepare("llamas", llamas_tree(tmp_path / "src"), tmp_path / "out", classes="lane")
    assert stored(info.samples[0].mask)[45, [10, 30, 60, 100]].tolist() == [1, 1, 1, 1]


def test_llamas_malformed_label_is_named(tmp_path: Path) -> None:
    root = llamas_tree(tmp_path / "src")
    bad = next((root / "labels").rglob("*.json"))
    as_json(bad, {"lanes": [{"lane_id": "l0", "markers": [{}]}]})
    with pytest.raises(InputError, match="not a LLAMAS label") as error:
        prepare("llamas", root, tmp_path / "out")
    assert bad.name in str(error.value)

"""Layouts whose labels are pictures: miniatures of the real trees, pixels checked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature_files import block, colors, ids, palette_ids, picture, stored, text
from miniatures import camvid_tree, comma_tree, competition_tree, culane_tree

from lanecli.data.job import Job
from lanecli.data.manifest import DatasetInfo
from lanecli.data.prepare import prepare_dataset
from lanecli.errors import InputError

SIZE = (16, 8)


def prepare(name: str, source: Path, out: Path, note: Callable[[str], object] = print, **options: Any) -> DatasetInfo:
    return prepare_dataset(Job(name, source, out, contact_sheet=0, **options), note=note)


def masks(info: DatasetInfo) -> dict[str, np.ndarray]:
    """Stored masks by their path below ``masks/``."""
    return {s.mask.relative_to(info.root / "masks").with_suffix("").as_posix(): stored(s.mask) for s in info.samples}


# --- Baidu / ApolloScape ---------------------------------------------------------------------------------------------


def test_apolloscape_competition_tree_prefers_grey_ids(tmp_path: Path) -> None:
    notes: list[str] = []
    info = prepare("apolloscape", competition_tree(tmp_path / "src"), tmp_path / "out", note=notes.append)
    assert [s.group for s in info.samples] == ["Road02/Record001", "Road02/Record002", "Road04/Record001"]
    mask = masks(info)["Road02/Record001/170927_1_Camera_5"]
    assert mask[3].tolist() == [0, 0, 1, 1] + [0] * 12  # 200 is dividing; palette 217 would be stopping everywhere
    assert mask[7].tolist() == [0] * 16
    assert info.label_map.name == "apolloscape-8"
    assert any("1 pictures without a label" in line and "x.jpg" in line for line in notes)


def test_apolloscape_own_tree_reads_palette_indices_not_colours(tmp_path: Path) -> None:
    root = tmp_path / "src"
    stem = "170927_063811892_Camera_5"
    picture(root / f"ColorImage_road02/ColorImage/Record001/Camera 5/{stem}.jpg", SIZE)
    palette_ids(root / f"Labels_road02/Label/Record001/Camera 5/{stem}_bin.png", block(SIZE, 214, 0, 0, 16, 2))
    info = prepare("apolloscape", root, tmp_path / "out")
    mask = masks(info)[f"Road02/Record001/{stem}"]
    assert np.unique(mask[:2]).tolist() == [5]
    assert not mask[2:].any()


def test_apolloscape_true_colour_labels_are_refused(tmp_path: Path) -> None:
    """Colours in files are not those of the toolkit's table: (180, 173, 43) is drawn for (70, 130, 180)."""
    root = tmp_path / "src"
    picture(root / "Road02/ColorImage_road02/Record001/Camera 5/a.jpg", SIZE)
    colors(root / "Road02/Labels_road02/Record001/Camera 5/a_bin.png", [[(180, 173, 43)] * 16] * 8)
    with pytest.raises(InputError, match=r"a_bin\.png: is a colour picture"):
        prepare("apolloscape", root, tmp_path / "out")


@pytest.mark.parametrize("camera", ["Camera 5", "Camera5"])
def test_apolloscape_camera_folder_with_and_without_a_space(tmp_path: Path, camera: str) -> None:
    info = prepare("apolloscape", competition_tree(tmp_path / "src", camera), tmp_path / "out")
    assert len(info.samples) == 3


def test_apolloscape_older_tree_is_matched_by_pattern_not_depth(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "Image_Data/Road03/Record010/Camera 6/a.jpg", SIZE)
    ids(root / "Gray_Label/Label_road03/Label/Record010/Camera 6/a_bin.png", block(SIZE, 203, 0, 0, 1, 1))
    info = prepare("apolloscape", root, tmp_path / "out")
    assert [s.group for s in info.samples] == ["Road03/Record010"]
    assert masks(info)["Road03/Record010/a"][0, :2].tolist() == [2, 0]


def test_apolloscape_csv_list_with_spaces_after_commas(tmp_path: Path) -> None:
    root = competition_tree(tmp_path / "src")
    image = "Road02/ColorImage_road02/ColorImage/Record001/Camera 5/170927_1_Camera_5.jpg"
    label = "Gray_Label/Label_road02/Label/Record001/Camera 5/170927_1_Camera_5_bin.png"
    listed = text(root / "train.csv", f"image, label\n{image}, {label}\n")
    info = prepare("apolloscape", listed, tmp_path / "out")
    assert list(masks(info)) == ["Road02/Record001/170927_1_Camera_5"]
    text(root / "evil.csv", f"image,label\n../x.jpg,{label}\n")
    with pytest.raises(InputError, match=r"evil\.csv line 2"):
        prepare("apolloscape", root / "evil.csv", tmp_path / "out2")


def test_unknown_id_is_refused_with_file_count_and_nearest(tmp_path: Path) -> None:
    root = competition_tree(tmp_path / "src")
    bad = root / "Gray_Label/Label_road02/Label/Record002/Camera 5/170927_2_Camera_5_bin.png"
    ids(bad, block(SIZE, 199, 0, 0, 3, 2))
    with pytest.raises(InputError, match=r"id 199 \(6 pixels\).*nearest known value is id 200 \('dividing'\)") as error:
        prepare("apolloscape", root, tmp_path / "out")
    assert str(bad) in str(error.value)


def test_records_never_straddle_splits(tmp_path: Path) -> None:
    root = tmp_path / "src"
    for record in range(6):
        for frame in range(5):
            picture(root / f"Road02/ColorImage_road02/Record{record:03}/Camera 5/{record}_{frame}.jpg", SIZE)
            ids(
                root / f"Gray_Label/Label_road02/Record{record:03}/Camera 5/{record}_{frame}_bin.png", np.zeros((8, 16))
            )
    info = prepare("apolloscape", root, tmp_path / "out")
    assert {s.group for s in info.of_split("train")}.isdisjoint(s.group for s in info.of_split("val"))
    assert info.splits == {"train": 25, "val": 5}


# --- CamVid ----------------------------------------------------------------------------------------------------------


def test_camvid_by_colour_grouped_by_sequence(tmp_path: Path) -> None:
    root = camvid_tree(tmp_path / "src")
    info = prepare("camvid", root, tmp_path / "out", classes="lane", split="val=0006R0*,train=*")
    assert {s.group: s.split for s in info.samples} == {"0006R0": "val", "0016E5": "train", "Seq05VD": "train"}
    assert masks(info)["0016E5_08610"].tolist() == [[0, 1, 1, 255]]


def test_camvid_official_lists_are_used(tmp_path: Path) -> None:
    root = tmp_path / "src"
    for stem, split in (("0001TP_1", "train"), ("0001TP_2", "val"), ("0001TP_3", "test")):
        picture(root / "images" / f"{stem}.png", (1, 1))
        colors(root / "labels" / f"{stem}_L.png", [[(0, 0, 0)]])
        text(root / f"{split}.txt", f"{stem}.png\n")
    assert prepare("camvid", root, tmp_path / "out").splits == {"train": 1, "val": 1, "test": 1}


def segnet_copy(root: Path) -> Path:
    for split in ("train", "val", "test"):
        picture(root / split / f"0001TP_{split}1.png", (4, 1))
        ids(root / f"{split}annot" / f"0001TP_{split}1.png", [[0, 3, 10, 11]])
    return root


def test_camvid_index_copy_has_11_for_void(tmp_path: Path) -> None:
    info = prepare("camvid", segnet_copy(tmp_path / "src"), tmp_path / "out")
    assert info.label_map.name == "camvid-11"
    assert info.splits == {"train": 1, "val": 1, "test": 1}
    assert masks(info)["train/0001TP_train1"].tolist() == [[0, 3, 10, 255]]


def test_camvid_index_copy_has_no_lane_markings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="merged into road"):
        prepare("camvid", segnet_copy(tmp_path / "src"), tmp_path / "out", classes="lane")


# --- comma10k --------------------------------------------------------------------------------------------------------


def test_comma10k_with_alpha_and_official_validation_names(tmp_path: Path) -> None:
    info = prepare("comma10k", comma_tree(tmp_path / "src"), tmp_path / "out")
    assert {s.split for s in info.samples} == {"train", "val"}
    assert {s.split: s.mask.stem[-1] for s in info.samples} == {"train": "4", "val": "9"}
    assert {s.group for s in info.samples} == {"0085e9e41513078a_2018-08-19--13-26-08"}
    assert next(iter(masks(info).values())).tolist() == [[0, 1, 4]]


def test_comma10k_misread_road_colour_is_refused(tmp_path: Path) -> None:
    root = comma_tree(tmp_path / "src", (128, 32, 32, 255))
    with pytest.raises(InputError, match=r"colour \(128, 32, 32\) \(1 pixels\).*nearest known value is \(64, 32, 32\)"):
        prepare("comma10k", root, tmp_path / "out")


def test_colour_tolerance_only_when_asked(tmp_path: Path) -> None:
    root = comma_tree(tmp_path / "src", (0x42, 0x1F, 0x20, 255))
    with pytest.raises(InputError, match=r"\(66, 31, 32\)"):
        prepare("comma10k", root, tmp_path / "out")
    info = prepare("comma10k", root, tmp_path / "out", tolerance=2)
    assert next(iter(masks(info).values())).tolist() == [[0, 1, 4]]
    with pytest.raises(InputError, match=r"\(66, 31, 32\)"):
        prepare("comma10k", root, tmp_path / "out2", tolerance=1)


def test_comma10k_wide_and_driver_cameras_beside_it(tmp_path: Path) -> None:
    root = comma_tree(tmp_path / "src")
    picture(root / "imgsd" / "d_1.png", (1, 1))
    colors(root / "masksd" / "d_1.png", [[(0, 0xCC, 0xFF)]])
    info = prepare("comma10k", root, tmp_path / "out")
    assert masks(info)["imgsd/d_1"].tolist() == [[5]]


# --- CULane ----------------------------------------------------------------------------------------------------------


def test_culane_lists_whose_paths_begin_with_a_slash(tmp_path: Path) -> None:
    notes: list[str] = []
    info = prepare("culane", culane_tree(tmp_path / "src"), tmp_path / "out", note=notes.append)
    assert info.splits == {"train": 1, "val": 1}
    assert {s.group for s in info.samples} == {"driver_23_30frame/05151649_0422.MP4"}
    assert any("1 pictures left out" in line for line in notes)


def test_culane_masks_that_look_black_are_slots(tmp_path: Path) -> None:
    root = culane_tree(tmp_path / "src")
    mask = masks(prepare("culane", root, tmp_path / "out"))["driver_23_30frame/05151649_0422.MP4/00000"]
    assert mask[0].tolist() == [0] * 10 + [4, 4] + [0] * 4
    lane = masks(prepare("culane", root, tmp_path / "lane", classes="lane"))
    assert lane["driver_23_30frame/05151649_0422.MP4/00000"][0].tolist() == [0] * 10 + [1, 1] + [0] * 4


def test_culane_list_that_leads_outside_finds_nothing_there(tmp_path: Path) -> None:
    root = culane_tree(tmp_path / "src")
    text(root / "list/val_gt.txt", "/../../x.jpg /laneseg_label_w16/x.png 0 0 0 0\n")
    picture(tmp_path / "x.jpg", SIZE)
    notes: list[str] = []
    info = prepare("culane", root, tmp_path / "out", note=notes.append)
    assert [s.image.name for s in info.samples] == ["00000.jpg"]
    assert any("2 pictures left out" in line and "/../../x.jpg" in line for line in notes)


# --- BDD100K ---------------------------------------------------------------------------------------------------------


def bdd_tree(root: Path, task: str, row: list[int]) -> Path:
    for split, stem in (("train", "0000f77c-6257be58"), ("val", "b1c66a42-6f7d68ca")):
        picture(root / "images/100k" / split / f"{stem}.jpg", (len(row), 1))
        ids(root / f"labels/{task}/masks" / split / f"{stem}.png", [row])
    return root


def test_bdd100k_lane_masks_are_bit_fields(tmp_path: Path) -> None:
    row = [255, 6, 6 | 16, 6 | 32, 0, 4]
    root = bdd_tree(tmp_path / "src", "lane", row)
    info = prepare("bdd100k-lane", root, tmp_path / "out")
    assert info.splits == {"train": 1, "val": 1}
    names = [info.label_map.names[v] for v in masks(info)["train/0000f77c-6257be58"][0]]
    assert names == ["background", "single white", "single white", "single white", "crosswalk", "road curb"]
    lane = prepare("bdd100k-lane", root, tmp_path / "lane", classes="lane")
    assert masks(lane)["train/0000f77c-6257be58"].tolist() == [[0, 1, 1, 0, 0, 0]]


def test_bdd100k_lane_attributes_are_multilabel(tmp_path: Path) -> None:
    root = bdd_tree(tmp_path / "src", "lane", [255, 7 | 16, 4])
    info = prepare("bdd100k-lane", root, tmp_path / "out", classes="bdd100k-lane-attributes")
    planes = info.label_map.split_labels(masks(info)["train/0000f77c-6257be58"])
    assert dict(zip(info.label_map.names, planes[:, 0].tolist(), strict=True)) == {
        "background": [1, 0, 0],
        "lane line": [0, 1, 0],
        "crosswalk": [0, 0, 0],
        "curb": [0, 0, 1],
        "yellow": [0, 1, 0],
        "dashed": [0, 1, 0],
        "across": [0, 0, 0],
    }
    assert info.pixel_counts["train"]["yellow"] == 1
    assert info.pixel_counts["train"]["ignored"] == 0


def test_bdd100k_drivable_2_is_background(tmp_path: Path) -> None:
    info = prepare("bdd100k-drivable", bdd_tree(tmp_path / "src", "drivable", [0, 1, 2]), tmp_path / "out")
    assert info.pixel_counts["val"] == {"direct": 1, "alternative": 1, "background": 1, "ignored": 0}
    assert info.label_map.background == 2


# --- KITTI, Cityscapes -----------------------------------------------------------------------------------------------


def test_kitti_road_labels_are_not_the_lane_labels(tmp_path: Path) -> None:
    root = tmp_path / "src"
    road, not_road, ignored = (255, 0, 255), (255, 0, 0), (0, 0, 0)
    for kind in ("um", "umm", "uu"):
        picture(root / f"training/image_2/{kind}_000000.png", (3, 1))
        colors(root / f"training/gt_image_2/{kind}_road_000000.png", [[road, not_road, ignored]])
    colors(root / "training/gt_image_2/um_lane_000000.png", [[not_road] * 3])
    info = prepare("kitti-road", root, tmp_path / "out")
    assert [s.group for s in info.samples] == ["um", "umm", "uu"]
    assert masks(info)["um_000000"].tolist() == [[1, 0, 255]]


def test_cityscapes_label_ids_by_city_without_the_empty_test_split(tmp_path: Path) -> None:
    root = tmp_path / "src"
    for split, city in (("train", "aachen"), ("val", "münster"), ("test", "berlin")):
        stem = f"{city}_000000_000019"
        picture(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", (3, 1))
        ids(root / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", [[7, 26, 3]])
        ids(root / f"gtFine/{split}/{city}/{stem}_gtFine_instanceIds.png", [[7, 26, 3]])
    notes: list[str] = []
    info = prepare("cityscapes", root, tmp_path / "out", note=notes.append)
    assert {(s.split, s.group) for s in info.samples} == {("train", "aachen"), ("val", "münster")}
    assert masks(info)["val/münster/münster_000000_000019"].tolist() == [[0, 13, 255]]
    assert any("test split left out" in line for line in notes)


# --- plain folders ---------------------------------------------------------------------------------------------------


def test_folder_pairs_by_stem_below_images_and_masks(tmp_path: Path) -> None:
    root = tmp_path / "straße 1"
    picture(root / "images/train/drive a/f_001.jpg", (2, 1))
    picture(root / "images/val/drive b/f_001.jpg", (2, 1))
    ids(root / "masks/train/drive a/f_001.png", [[0, 1]])
    ids(root / "masks/val/drive b/f_001.png", [[255, 1]])
    info = prepare("folder", root, tmp_path / "out é")
    assert {(s.split, s.group) for s in info.samples} == {("train", "drive a/f"), ("val", "drive b/f")}
    assert masks(info)["val/drive b/f_001"].tolist() == [[255, 1]]


def test_folder_with_suffixes_in_one_place(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "a_rgb.png", (2, 1))
    palette_ids(root / "a_seg.png", [[0, 1]])
    info = prepare("folder", root, tmp_path / "out", image_suffix="_rgb", mask_suffix="_seg")
    assert masks(info)["a"].tolist() == [[0, 1]]


def test_folder_of_black_and_white_masks_does_not_ignore_the_lanes(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "images/a.png", (2, 1))
    ids(root / "masks/a_mask.png", [[0, 255]])
    notes: list[str] = []
    info = prepare("folder", root, tmp_path / "out", note=notes.append)
    assert masks(info)["a"].tolist() == [[0, 1]]
    assert any("255 is read as lane marking" in line for line in notes)


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "images/a.png", (2, 1))
    picture(root / "masks/a.jpg", (2, 1))
    with pytest.raises(InputError, match=r"a\.jpg: masks are JPEG files, in which ids are not exact"):
        prepare("folder", root, tmp_path / "out")


def test_archive_leftovers_are_not_pictures(tmp_path: Path) -> None:
    root = tmp_path / "src"
    picture(root / "images/a.png", (2, 1))
    ids(root / "masks/a.png", [[0, 1]])
    text(root / "images/._a.png", "not a picture")
    text(root / "images/__MACOSX/a.png", "not a picture")
    assert len(prepare("folder", root, tmp_path / "out").samples) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("camvid", "no folder 'images'"),
        ("comma10k", "no folder 'imgs'"),
        ("folder", "no folders 'images' and 'masks'"),
        ("kitti-road", "no folder 'image_2'"),
        ("cityscapes", "no folder 'leftImg8bit'"),
        ("apolloscape", "no picture with a label"),
        ("culane", "no picture has a mask"),
        ("bdd100k-lane", "no folder 'images/100k'"),
        ("llamas", "no folder 'color_images'"),
        ("tusimple", "no label_data"),
        ("cvat", r"neither annotations\.xml"),
        ("labelme", "no LabelMe JSON"),
        ("coco", "no COCO annotations"),
    ],
)
def test_wrong_folder_is_named_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "src").mkdir()
    with pytest.raises(InputError, match=message) as error:
        prepare(name, tmp_path / "src", tmp_path / "out")
    assert "\n" not in str(error.value)

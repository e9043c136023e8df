"""Exports of CVAT, LabelMe and COCO: every kind of shape to pixels counted by hand, and hostile files."""

from __future__ import annotations

import base64
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature_files import as_json, picture, stored, text
from miniatures import cvat_mask_export
from PIL import Image

from lanecli.data.archive import read_xml, unpack
from lanecli.data.job import Job
from lanecli.data.manifest import DatasetInfo
from lanecli.data.prepare import prepare_dataset
from lanecli.data.words import sequence_of, split_of
from lanecli.errors import InputError

SIZE = (12, 8)


def prepare(name: str, source: Path, out: Path, note: Callable[[str], object] = print, **options: Any) -> DatasetInfo:
    return prepare_dataset(Job(name, source, out, contact_sheet=0, **options), note=note)


def only_mask(info: DatasetInfo) -> np.ndarray:
    assert len(info.samples) == 1
    return stored(info.samples[0].mask)


def box_of(mask: np.ndarray, value: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a value's pixels, and they fill it."""
    rows, columns = np.nonzero(mask == value)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert len(rows) == (box[2] - box[0]) * (box[3] - box[1])
    return tuple(int(v) for v in box)  # type: ignore[return-value]


# --- CVAT for images 1.1 ---------------------------------------------------------------------------------------------

LABELS = (
    "<meta><task><labels><label><name>arrow</name><color>#ff0000</color></label>"
    "<label><name>lane line</name><color>#00ff00</color></label></labels></task></meta>"
)


def cvat_xml(root: Path, shapes: str, name: str = "frame_000001.png", attributes: str = "") -> Path:
    picture(root / "images" / name, SIZE)
    return text(
        root / "annotations.xml",
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{LABELS}'
        f'<image id="0" name="{name}" width="{SIZE[0]}" height="{SIZE[1]}" {attributes}>{shapes}</image></annotations>',
    )


def test_cvat_polygon_in_corner_coordinates(tmp_path: Path) -> None:
    cvat_xml(tmp_path / "src", '<polygon label="arrow" points="2,1;6,1;6,4;2,4" z_order="0"/>')
    info = prepare("cvat", tmp_path / "src", tmp_path / "out")
    assert info.label_map.names == ("background", "arrow")
    assert info.label_map.classes[1].color == (255, 0, 0)
    assert box_of(only_mask(info), 1) == (2, 1, 6, 4)


def test_cvat_polylines_are_in_the_xml(tmp_path: Path) -> None:
    """They are not in 'Segmentation mask 1.1', which drops them without a word."""
    cvat_xml(tmp_path / "src", '<polyline label="lane line" points="5.5,0;5.5,8"/>')
    info = prepare("cvat", tmp_path / "src", tmp_path / "out", line_width=3)
    assert info.label_map.names == ("background", "lane line")
    assert box_of(only_mask(info), 1) == (4, 0, 7, 8)


def test_cvat_run_lengths_are_rows_of_the_box(tmp_path: Path) -> None:
    # A box of 3 x 2 at (4, 2): row 0 is 0 1 1, row 1 is 1 0 0.
    cvat_xml(tmp_path / "src", '<mask label="arrow" rle="1, 3, 2" left="4" top="2" width="3" height="2"/>')
    mask = only_mask(prepare("cvat", tmp_path / "src", tmp_path / "out"))
    assert mask[2, 4:7].tolist() == [0, 1, 1]
    assert mask[3, 4:7].tolist() == [1, 0, 0]
    assert mask.sum() == 3


def test_cvat_shapes_are_drawn_by_z_order(tmp_path: Path) -> None:
    over = '<box label="arrow" xtl="2" ytl="2" xbr="4" ybr="4" z_order="1"/>'
    under = '<box label="lane line" xtl="0" ytl="0" xbr="12" ybr="8" z_order="0"/>'
    cvat_xml(tmp_path / "src", over + under)
    mask = only_mask(prepare("cvat", tmp_path / "src", tmp_path / "out"))
    assert box_of(mask, 1) == (2, 2, 4, 4)
    assert (mask == 2).sum() == 96 - 4


def test_cvat_turned_box_and_ellipse(tmp_path: Path) -> None:
    turned = '<box label="arrow" xtl="2" ytl="3" xbr="6" ybr="5" rotation="90"/>'
    ellipse = '<ellipse label="lane line" cx="9.5" cy="3.5" rx="1.2" ry="1.2"/>'
    cvat_xml(tmp_path / "src", turned + ellipse)
    mask = only_mask(prepare("cvat", tmp_path / "src", tmp_path / "out"))
    assert box_of(mask, 1) == (3, 2, 5, 6)
    assert np.argwhere(mask == 2).tolist() == [[2, 9], [3, 8], [3, 9], [3, 10], [4, 9]]


def test_cvat_points_and_tags_are_left_out_with_a_note(tmp_path: Path) -> None:
    cvat_xml(tmp_path / "src", '<points label="arrow" points="1,1;2,2"/><tag label="arrow"/>')
    notes: list[str] = []
    assert not only_mask(prepare("cvat", tmp_path / "src", tmp_path / "out", note=notes.append)).any()
    assert any("1 'points' shapes" in n for n in notes)


def test_cvat_onto_lane_by_words(tmp_path: Path) -> None:
    shapes = '<polyline label="lane line" points="5.5,0;5.5,8"/><box label="arrow" xtl="0" ytl="0" xbr="2" ybr="2"/>'
    cvat_xml(tmp_path / "src", shapes)
    info = prepare("cvat", tmp_path / "src", tmp_path / "out", classes="lane", line_width=1)
    assert box_of(only_mask(info), 1) == (5, 0, 6, 8)


def test_cvat_own_label_map_must_name_every_label(tmp_path: Path) -> None:
    cvat_xml(tmp_path / "src", '<box label="arrow" xtl="0" ytl="0" xbr="2" ybr="2"/>')
    own = text(
        tmp_path / "own.yaml",
        "classes:\n  - {name: bg, color: [0,0,0], sources: [0]}\n  - {name: arrow, color: [1,2,3]}\n",
    )
    with pytest.raises(InputError, match="says nothing about label 'lane line'"):
        prepare("cvat", tmp_path / "src", tmp_path / "out", classes=str(own))
    text(own, own.read_text() + "ignored: [lane line]\n")
    assert box_of(only_mask(prepare("cvat", tmp_path / "src", tmp_path / "out", classes=str(own))), 1) == (0, 0, 2, 2)


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "..\\evil.png"])
def test_cvat_names_that_lead_outside_find_nothing_there(tmp_path: Path, name: str) -> None:
    root = tmp_path / "src"
    picture(tmp_path / "evil.png", (2, 2))
    text(root / "annotations.xml", f'<annotations><image id="0" name="{name}" width="2" height="2"/></annotations>')
    with pytest.raises(InputError, match=r"none of its 1 pictures exists below .*src \(the first is '.*evil\.png'\)"):
        prepare("cvat", root, tmp_path / "out")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<polygon label="arrow" points="1;2"/>', "malformed"),
        ('<polygon points="1,2;3,4;5,6"/>', "malformed"),
        ('<mask label="arrow" rle="1,2" left="0" top="0" width="3" height="2"/>', "do not add up"),
        ('<mask label="arrow" rle="1" left="0" top="0" width="100000" height="100000"/>', "not a valid picture size"),
    ],
)
def test_cvat_malformed_shapes_are_named(tmp_path: Path, shapes: str, message: str) -> None:
    cvat_xml(tmp_path / "src", shapes)
    with pytest.raises(InputError, match=message) as error:
        prepare("cvat", tmp_path / "src", tmp_path / "out")
    assert "frame_000001.png" in str(error.value)


def test_cvat_declared_size_that_is_not_the_pictures_is_refused(tmp_path: Path) -> None:
    path = cvat_xml(tmp_path / "src", "")
    text(path, path.read_text().replace('width="12"', 'width="24"'))
    with pytest.raises(InputError, match=r"is 24x8, but its picture frame_000001\.png is 12x8"):
        prepare("cvat", tmp_path / "src", tmp_path / "out")


def test_cvat_for_video_is_told_apart(tmp_path: Path) -> None:
    text(tmp_path / "src/annotations.xml", "<annotations><track id='0'/></annotations>")
    with pytest.raises(InputError, match="CVAT for video"):
        prepare("cvat", tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://example.invalid/a.dtd">',
    ],
)
def test_xml_with_entities_is_refused_before_any_expands(tmp_path: Path, prologue: str) -> None:
    path = text(tmp_path / "a.xml", f'<?xml version="1.0"?>{prologue}<a>&y;&x;</a>')
    with pytest.raises(InputError, match="document type or entities"):
        read_xml(path)


def test_xml_that_is_cut_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.xml: is not well-formed"):
        read_xml(text(tmp_path / "a.xml", "<a><b>"))


# --- CVAT Segmentation mask 1.1 --------------------------------------------------------------------------------------


def zipped(root: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root).as_posix())
    return target


def test_cvat_segmentation_mask_zip(tmp_path: Path) -> None:
    archive = zipped(cvat_mask_export(tmp_path / "export"), tmp_path / "job é 1.zip")
    info = prepare("cvat", archive, tmp_path / "out")
    assert {s.group: s.split for s in info.samples} == {"clip a/frame": "train", "clip b/frame": "val"}
    assert [stored(s.mask).tolist() for s in info.samples] == [[[0, 1, 2]]] * 2
    assert info.label_map.names == ("background", "lane line", "arrow")
    assert all(s.image.is_relative_to(info.root / "unpacked") for s in info.samples)


def test_cvat_segmentation_mask_onto_lane(tmp_path: Path) -> None:
    info = prepare("cvat", cvat_mask_export(tmp_path / "export"), tmp_path / "out", classes="lane")
    assert stored(info.samples[0].mask).tolist() == [[0, 1, 0]]


def test_cvat_zip_without_pictures_takes_them_from_elsewhere(tmp_path: Path) -> None:
    root = cvat_mask_export(tmp_path / "export")
    (root / "JPEGImages").rename(tmp_path / "pictures")
    archive = zipped(root, tmp_path / "job.zip")
    with pytest.raises(InputError, match="give --images DIR"):
        prepare("cvat", archive, tmp_path / "out1")
    info = prepare("cvat", archive, tmp_path / "out2", images=tmp_path / "pictures")
    assert info.samples[0].image.is_relative_to(tmp_path / "pictures")
    assert not (info.root / "unpacked").exists()


def test_cvat_labelmap_malformed_line_is_named(tmp_path: Path) -> None:
    root = cvat_mask_export(tmp_path / "export")
    text(root / "labelmap.txt", "background:0,0,0::\nlane 0 255 0\n")
    with pytest.raises(InputError, match=r"labelmap\.txt line 2"):
        prepare("cvat", root, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
def test_zip_slip_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("fine.txt", "x")
        opened.writestr(name, "x")
    with pytest.raises(InputError, match="leads outside"):
        unpack(archive, tmp_path / "into")
    assert not (tmp_path / "into").exists()
    assert not (tmp_path / "evil.txt").exists()


def test_zip_with_a_link_or_a_bomb_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        unpack(tmp_path / "link.zip", tmp_path / "into")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as opened, opened.open("x", "w") as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="would unpack to"):
        unpack(tmp_path / "bomb.zip", tmp_path / "into")


@pytest.mark.parametrize("damage", ["outside", "link", "crc"])
def test_zip_with_a_name_without_end_is_named_in_a_short_line(tmp_path: Path, damage: str) -> None:
    name = "../" * (damage == "outside") + "a" * 30_000
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (0o120777 if damage == "link" else 0o100644) << 16
    path = tmp_path / "job.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "hello")
    if damage == "crc":
        path.write_bytes(path.read_bytes().replace(b"hello", b"jello"))
    with pytest.raises(InputError, match=r"job\.zip") as caught:
        unpack(path, tmp_path / "out")
    assert len(str(caught.value)) < 1000


def test_zip_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a zip"):
        unpack(text(tmp_path / "a.zip", "no"), tmp_path / "into")


# --- LabelMe ---------------------------------------------------------------------------------------------------------


def labelme(root: Path, shapes: list[dict[str, Any]], stem: str = "bild ä_0001", **extra: Any) -> Path:
    picture(root / f"{stem}.jpg", SIZE)
    content = {
        "version": "5.4.1",
        "shapes": shapes,
        "imagePath": f"{stem}.jpg",
        "imageData": None,
        "imageWidth": SIZE[0],
        "imageHeight": SIZE[1],
    }
    return as_json(root / f"{stem}.json", {**content, **extra})


def shape(label: str, kind: str, points: list[list[float]], **extra: Any) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, **extra}


def test_labelme_shapes_of_every_kind(tmp_path: Path) -> None:
    shapes = [
        shape("area", "polygon", [[0, 0], [3, 0], [3, 2], [0, 2]]),
        shape("box", "rectangle", [[6, 8], [3, 6]]),
        shape("dot", "circle", [[9.5, 5.5], [10.5, 5.5]]),
        shape("lane", "linestrip", [[11.5, 0], [11.5, 4], [11.5, 8]]),
        shape("point", "point", [[1, 1]]),
    ]
    labelme(tmp_path / "src", shapes)
    notes: list[str] = []
    info = prepare("labelme", tmp_path / "src", tmp_path / "out", line_width=1, note=notes.append)
    mask = only_mask(info)
    assert info.label_map.names == ("background", "area", "box", "dot", "lane")
    assert box_of(mask, 1) == (0, 0, 3, 2)
    assert box_of(mask, 2) == (3, 6, 6, 8)
    assert np.argwhere(mask == 3).tolist() == [[4, 9], [5, 8], [5, 9], [5, 10], [6, 9]]
    assert box_of(mask, 4) == (11, 0, 12, 8)
    assert any("1 points" in n for n in notes)


def test_labelme_mask_shape_is_a_picture_of_its_box(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[255, 0, 255], [0, 255, 0]], np.uint8)).convert("1").save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    labelme(tmp_path / "src", [shape("lane", "mask", [[4, 3], [6, 4]], mask=encoded)])
    mask = only_mask(prepare("labelme", tmp_path / "src", tmp_path / "out"))
    assert mask[3:5, 4:7].tolist() == [[1, 0, 1], [0, 1, 0]]
    assert mask.sum() == 3


def test_labelme_later_shapes_lie_on_top(tmp_path: Path) -> None:
    whole = [[0, 0], [12, 0], [12, 8], [0, 8]]
    labelme(tmp_path / "src", [shape("b", "polygon", whole), shape("a", "rectangle", [[1, 1], [2, 2]])])
    assert box_of(only_mask(prepare("labelme", tmp_path / "src", tmp_path / "out")), 1) == (1, 1, 2, 2)


@pytest.mark.parametrize(
    "path", ["..\\pictures\\bild ä_0001.jpg", "C:\\data\\bild ä_0001.jpg", "/gone/bild ä_0001.jpg", None]
)
def test_labelme_image_path_of_another_machine(tmp_path: Path, path: str | None) -> None:
    labelme(tmp_path / "src", [], imagePath=path)
    info = prepare("labelme", tmp_path / "src", tmp_path / "out")
    assert info.samples[0].image == tmp_path / "src" / "bild ä_0001.jpg"


def test_labelme_neighbouring_frames_are_one_group(tmp_path: Path) -> None:
    for number in range(4):
        labelme(tmp_path / "src", [], stem=f"drive_{number:04}")
    notes: list[str] = []
    info = prepare("labelme", tmp_path / "src", tmp_path / "out", note=notes.append)
    assert info.splits == {"train": 4}
    assert any("--by frame" in n for n in notes)
    assert prepare("labelme", tmp_path / "src", tmp_path / "out2", by="frame").splits == {"train": 3, "val": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"shapes": [{"label": "a", "shape_type": "cube", "points": []}]}, "'cube' is unknown"),
        ({"shapes": [{"label": "a", "points": [[1]]}]}, "not a LabelMe file"),
        (
            {"shapes": [{"label": "a", "shape_type": "mask", "points": [[0, 0]], "mask": "!!"}]},
            "its mask is not a picture",
        ),
        ({"imageWidth": "wide"}, "not a LabelMe file"),
    ],
)
def test_labelme_malformed_files_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    path = labelme(tmp_path / "src", [])
    as_json(path, {**json.loads(path.read_text(encoding="utf-8")), **content})
    with pytest.raises(InputError, match=message) as error:
        prepare("labelme", tmp_path / "src", tmp_path / "out")
    assert path.name in str(error.value)


# --- COCO ------------------------------------------------------------------------------------------------------------


def coco(root: Path, annotations: list[dict[str, Any]], split: str = "train") -> Path:
    picture(root / split / "a 1.jpg", (6, 4))
    return as_json(
        root / f"annotations/instances_{split}.json",
        {
            "images": [{"id": 7, "file_name": "a 1.jpg", "width": 6, "height": 4}],
            "categories": [{"id": 3, "name": "lane"}, {"id": 9, "name": "arrow"}],
            "annotations": [{"id": i, "image_id": 7, **a} for i, a in enumerate(annotations)],
        },
    )


def test_coco_polygons_of_several_parts(tmp_path: Path) -> None:
    parts = [[0, 0, 2, 0, 2, 1, 0, 1], [4, 2, 6, 2, 6, 4, 4, 4]]
    coco(tmp_path / "src", [{"category_id": 3, "segmentation": parts}])
    info = prepare("coco", tmp_path / "src", tmp_path / "out")
    assert info.label_map.names == ("background", "lane")
    assert only_mask(info).tolist() == [[1, 1, 0, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("counts", [[5, 2, 17], "52a0"])
def test_coco_run_lengths_go_down_the_columns(tmp_path: Path, counts: object) -> None:
    # 5 zeros: column 0 and the first pixel of column 1; then 2 ones.
    coco(tmp_path / "src", [{"category_id": 9, "segmentation": {"size": [4, 6], "counts": counts}}])
    mask = only_mask(prepare("coco", tmp_path / "src", tmp_path / "out"))
    assert np.argwhere(mask == 1).tolist() == [[1, 1], [2, 1]]


def test_coco_splits_by_annotation_file(tmp_path: Path) -> None:
    coco(tmp_path / "src", [])
    coco(tmp_path / "src", [], "val")
    info = prepare("coco", tmp_path / "src", tmp_path / "out", classes="lane")
    assert info.splits == {"train": 1, "val": 1}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"category_id": 4, "segmentation": []}, "category 4 is not"),
        ({"category_id": 3, "segmentation": {"size": [40, 60], "counts": [2400]}}, "a mask is 60x40"),
        ({"category_id": 3, "segmentation": {"size": [4, 6], "counts": [3]}}, "do not add up"),
        ({"category_id": 3, "segmentation": {"size": [4, 6], "counts": "\u0001"}}, "run-length string"),
        ({"segmentation": []}, "not a COCO file"),
    ],
)
def test_coco_malformed_annotations_are_named(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    coco(tmp_path / "src", [annotation])
    with pytest.raises(InputError, match=message) as error:
        prepare("coco", tmp_path / "src", tmp_path / "out")
    assert "instances_train.json" in str(error.value)


def test_coco_file_names_that_lead_outside_find_nothing_there(tmp_path: Path) -> None:
    path = coco(tmp_path / "src", [])
    picture(tmp_path / "outside.jpg", (6, 4))
    text(path, path.read_text().replace("a 1.jpg", "../../outside.jpg"))
    with pytest.raises(InputError, match=r"no COCO annotations whose pictures .*'\.\./\.\./outside\.jpg'"):
        prepare("coco", tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("town/frame_000012", "town/frame"),
        ("0001", "all"),
        ("0016E5_08610", "0016E5"),
        ("a/0001", "a"),
        ("x-3.5", "x-3"),
    ],
)
def test_sequence_of_a_name(name: str, sequence: str) -> None:
    assert sequence_of(name) == sequence


@pytest.mark.parametrize(
    ("word", "split"),
    [("instances_train2017", "train"), ("Validation", "val"), ("TEST", "test"), ("default", None), ("strain", None)],
)
def test_split_of_a_word(word: str, split: str | None) -> None:
    assert split_of(word) == split

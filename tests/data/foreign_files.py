"""Miniatures of every layout whose reader reads text, with the file that is read and the name of a picture in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from miniature_files import block, colors, ids, picture, text

SIZE = (32, 24)
BOX = [[4.0, 4.0], [20.0, 4.0], [20.0, 20.0], [4.0, 20.0]]
OUTLINE = [value for point in BOX for value in point]


def indented(path: Path, content: Any) -> Path:
    """A JSON file of several lines."""
    return text(path, json.dumps(content, ensure_ascii=False, indent=1))


def coco(root: Path) -> None:
    picture(root / "sub/a 1.jpg", SIZE)
    indented(
        root / "x.json",
        {
            "images": [{"id": 1, "file_name": "sub/a 1.jpg", "width": SIZE[0], "height": SIZE[1]}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [OUTLINE]}],
            "categories": [{"id": 1, "name": "lane"}],
        },
    )


def labelme(root: Path) -> None:
    picture(root / "sub/a 1.jpg", SIZE)
    indented(
        root / "a 1.json",
        {
            "version": "5.4.1",
            "shapes": [{"label": "lane", "points": BOX, "shape_type": "polygon"}],
            "imagePath": "sub/a 1.jpg",
            "imageData": None,
            "imageHeight": SIZE[1],
            "imageWidth": SIZE[0],
        },
    )


def cvat_xml(root: Path) -> None:
    picture(root / "images/sub/a 1.png", SIZE)
    points = ";".join(f"{x},{y}" for x, y in BOX)
    text(
        root / "annotations.xml",
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<meta><task><labels><label><name>lane</name>'
        "<color>#ff0000</color></label></labels></task></meta>\n"
        f'<image id="0" name="sub/a 1.png" width="{SIZE[0]}" height="{SIZE[1]}">\n'
        f'<polygon label="lane" points="{points}" z_order="0"/>\n</image>\n</annotations>\n',
    )


def cvat_masks(root: Path) -> None:
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nlane:250,50,83::\n")
    for name in ("sub/a 1", "sub/b 2"):
        picture(root / f"JPEGImages/{name}.jpg", SIZE)
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        pixels[4:20, 4:20] = (250, 50, 83)
        colors(root / f"SegmentationClass/{name}.png", pixels)
    text(root / "ImageSets/Segmentation/train.txt", "sub/a 1\n")
    text(root / "ImageSets/Segmentation/val.txt", "sub/b 2\n")


def tusimple(root: Path) -> None:
    picture(root / "clips/1/20.jpg", SIZE)
    label = {"raw_file": "clips/1/20.jpg", "lanes": [[10, 12, 14, 16]], "h_samples": [4, 10, 16, 22]}
    text(root / "label_data_0313.json", json.dumps(label) + "\n")


def llamas(root: Path) -> None:
    picture(root / "color_images/train/run/1_color_rect.png", SIZE)
    markers = [{"pixel_start": {"x": 10, "y": 20}, "pixel_end": {"x": 12, "y": 4}}]
    indented(root / "labels/train/run/1.json", {"lanes": [{"lane_id": "l0", "markers": markers}]})


def bdd100k(root: Path) -> None:
    picture(root / "images/100k/train/a-1.jpg", SIZE)
    line = {"vertices": [[10.0, 22.0], [12.0, 12.0], [16.0, 4.0]], "types": "LLL", "closed": False}
    label = {"category": "lane/single white", "attributes": {"style": "solid"}, "poly2d": [line]}
    indented(root / "labels/lane/polygons/lane_train.json", [{"name": "a-1.jpg", "labels": [label]}])


def culane_list(root: Path) -> None:
    picture(root / "driver_1/a.MP4/00000.jpg", SIZE)
    ids(root / "laneseg_label_w16/driver_1/a.MP4/00000.png", block(SIZE, 2, 4, 4, 8, 20))
    line = "/driver_1/a.MP4/00000.jpg /laneseg_label_w16/driver_1/a.MP4/00000.png 0 1 0 0\n"
    text(root / "list/train_gt.txt", line)


def culane_lines(root: Path) -> None:
    picture(root / "driver_1/a.MP4/00000.jpg", SIZE)
    text(root / "driver_1/a.MP4/00000.lines.txt", "10 22 11 12 12 4\n20 22 18 12\n")


def camvid_list(root: Path) -> None:
    for stem, split in (("0001TP_1", "train"), ("0001TP_2", "val")):
        picture(root / f"images/{stem}.png", SIZE)
        colors(root / f"labels/{stem}_L.png", np.full((SIZE[1], SIZE[0], 3), (128, 64, 128), np.uint8))
        text(root / f"{split}.txt", f"images/{stem}.png\n")


def camvid_codes(root: Path) -> None:
    picture(root / "images/0001TP_1.png", SIZE)
    ids(root / "labels/0001TP_1_P.png", block(SIZE, 10, 4, 4, 20, 20, base=17))
    text(root / "codes.txt", "Animal\nArchway\nBicyclist\n")


def apolloscape_list(root: Path) -> None:
    picture(root / "Road02/Record001/Camera 5/a.jpg", SIZE)
    ids(root / "Road02/Labels/Record001/Camera 5/a_bin.png", block(SIZE, 200, 4, 4, 20, 20))
    line = "Road02/Record001/Camera 5/a.jpg,Road02/Labels/Record001/Camera 5/a_bin.png\n"
    text(root / "list.csv", f"image,label\n{line}")


@dataclass(frozen=True)
class Foreign:
    """A layout: its format, how it is made, the text file its reader reads, and a picture's name in that file."""

    format: str
    make: Callable[[Path], None]
    file: str
    name: str | None = None
    source: str = "."


FOREIGN: dict[str, Foreign] = {
    "`coco` JSON": Foreign("coco", coco, "x.json", "sub/a 1.jpg"),
    "`labelme` JSON": Foreign("labelme", labelme, "a 1.json", "sub/a 1.jpg"),
    "`cvat` annotations.xml": Foreign("cvat", cvat_xml, "annotations.xml", "sub/a 1.png"),
    "`cvat` labelmap.txt": Foreign("cvat", cvat_masks, "labelmap.txt"),
    "`cvat` ImageSets list": Foreign("cvat", cvat_masks, "ImageSets/Segmentation/train.txt", "sub/a 1"),
    "`tusimple` json lines": Foreign("tusimple", tusimple, "label_data_0313.json", "clips/1/20.jpg"),
    "`llamas` JSON": Foreign("llamas", llamas, "labels/train/run/1.json"),
    "`bdd100k-lane` JSON": Foreign("bdd100k-lane", bdd100k, "labels/lane/polygons/lane_train.json", "a-1.jpg"),
    "`culane` list": Foreign("culane", culane_list, "list/train_gt.txt", "/driver_1/a.MP4/00000.jpg"),
    "`culane` lines.txt": Foreign("culane", culane_lines, "driver_1/a.MP4/00000.lines.txt"),
    "`camvid` list": Foreign("camvid", camvid_list, "train.txt", "images/0001TP_1.png"),
    "`camvid` codes.txt": Foreign("camvid", camvid_codes, "codes.txt"),
    "`apolloscape` CSV list": Foreign(
        "apolloscape", apolloscape_list, "list.csv", "Road02/Record001/Camera 5/a.jpg", "list.csv"
    ),
}

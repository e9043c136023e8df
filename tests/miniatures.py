"""Miniatures of public layouts: their trees, names and kinds of labels, a few pictures each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from miniature_files import block, colors, ids, palette_ids, picture, text

Size = tuple[int, int]
Color = tuple[int, ...]


FULL_SIZE = (3384, 1710)
"""Of the pictures of the competition."""


def striped(size: Size, row: list[Color]) -> np.ndarray:
    """(H, W, channels): the colours of `row` as upright stripes of equal width."""
    width, height = size
    return np.broadcast_to(np.array(row, np.uint8)[np.arange(width) * len(row) // width], (height, width, len(row[0])))


def competition_tree(root: Path, camera: str = "Camera 5", size: Size = (16, 8)) -> Path:
    """Road02 with grey ids and palette colour labels; Road04 with one picture that has no label."""
    width, height = size
    for road, record, stamp in (
        ("02", "Record001", "170927_1"),
        ("02", "Record002", "170927_2"),
        ("04", "Record001", "171206_3"),
    ):
        stem = f"{stamp}_{camera.replace(' ', '_')}"
        image = root / f"Road{road}/ColorImage_road{road}/ColorImage/{record}/{camera}/{stem}.jpg"
        picture(image, size)
        grey = block(size, 200, width // 8, height // 8, width // 4, height)
        grey[-1] = 255
        ids(root / f"Gray_Label/Label_road{road}/Label/{record}/{camera}/{stem}_bin.png", grey)
        palette_ids(
            root / f"Road{road}/Labels_road{road}/Label/{record}/{camera}/{stem}_bin.png",
            np.full((height, width), 217),
        )
    picture(root / "Road04/ColorImage_road04/ColorImage/Record001/Camera 6/x.jpg", size)
    return root


def competition_at_full_size(root: Path, name: str) -> None:
    """Three labelled pictures of two roads in the folder `name`, and a test picture in those of the test set."""
    for road, number in (("02", 1), ("02", 2), ("04", 3)):
        stem = f"Record001/Camera 5/17_{number}"
        picture(root / name / f"Road{road}/ColorImage_road{road}/{stem}.jpg", FULL_SIZE)
        label = block(FULL_SIZE, 200, 1000, 800, 1100, 1700)
        ids(root / name / f"Gray_Label/Label_road{road}/{stem}_bin.png", label)
    picture(root / "apollo_test/Road05/Record001/Camera 5/a.jpg", FULL_SIZE)


def camvid_tree(root: Path, size: Size = (4, 1)) -> Path:
    """Three sequences by colour: road, both kinds of lane marking, and void."""
    row: list[Color] = [(128, 64, 128), (128, 0, 192), (192, 0, 64), (0, 0, 0)]
    for stem in ("0016E5_08610", "0016E5_08611", "0006R0_f01080", "Seq05VD_f00000"):
        picture(root / "images" / f"{stem}.png", size)
        colors(root / "labels" / f"{stem}_L.png", striped(size, row))
    return root


def comma_tree(root: Path, color: Color = (0x40, 0x20, 0x20, 255), size: Size = (3, 1)) -> Path:
    """A picture for training and one for validation; `color` is the road's."""
    for stem in (
        "0000_0085e9e41513078a_2018-08-19--13-26-08_11_864",
        "0009_0085e9e41513078a_2018-08-19--13-26-08_11_9",
    ):
        picture(root / "imgs" / f"{stem}.png", size)
        colors(root / "masks" / f"{stem}.png", striped(size, [color, (255, 0, 0, 255), (0xCC, 0, 0xFF, 0)]))
    return root


def culane_tree(root: Path, size: Size = (16, 8)) -> Path:
    """A clip with a picture for training, one for validation, and a test list whose pictures are not there."""
    clip = "driver_23_30frame/05151649_0422.MP4"
    width, height = size
    for frame in ("00000", "00030"):
        picture(root / clip / f"{frame}.jpg", size)
        mask = block(size, 4, 10 * width // 16, 0, 12 * width // 16, height)
        ids(root / "laneseg_label_w16" / clip / f"{frame}.png", mask)
    text(root / "list/train_gt.txt", f"/{clip}/00000.jpg /laneseg_label_w16/{clip}/00000.png 0 0 0 1\n")
    text(root / "list/val_gt.txt", f"/{clip}/00030.jpg /laneseg_label_w16/{clip}/00030.png 0 0 0 1\n")
    text(root / "list/test.txt", "/driver_37_30frame/x.MP4/00000.jpg\n")
    return root


def tusimple_line(raw_file: str, lanes: list[list[int]], scale: int = 1) -> str:
    """A line of labels at rows 30 to 70, all of it times `scale`; -2 is an absent point."""
    scaled = [[x if x < 0 else x * scale for x in lane] for lane in lanes]
    return json.dumps({"raw_file": raw_file, "lanes": scaled, "h_samples": [scale * y for y in range(30, 72, 10)]})


def tusimple_clip(root: Path, name: str, scale: int = 1) -> str:
    """A clip of which only frame 20 has a label."""
    for frame in (1, 19, 20):
        picture(root / name / f"{frame}.jpg", (128 * scale, 72 * scale))
    return f"{name}/20.jpg"


def tusimple_tree(root: Path, scale: int = 1) -> Path:
    """A clip for training and one for validation, 128x72 times `scale`: 10 is the set's own size."""
    left, right = [40, 38, 36, 34, 32], [90, 92, 94, 96, 98]
    absent = [-2, -2, -2, 10, 5]
    training = tusimple_line(tusimple_clip(root, "clips/0313-1/60", scale), [left, right, absent, [-2] * 5], scale)
    text(root / "label_data_0313.json", training + "\n")
    text(root / "label_data_0531.json", tusimple_line(tusimple_clip(root, "clips/0531/7", scale), [left], scale) + "\n")
    return root


def cvat_mask_export(root: Path, size: Size = (3, 1)) -> Path:
    """Labels: background, lane line #00ff00 and arrow; frames of two clips; a subset list."""
    text(
        root / "labelmap.txt",
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nlane line:0,255,0::\narrow:255,0,0::\n",
    )
    for name in ("clip a/frame_1", "clip b/frame_1"):
        picture(root / "JPEGImages" / f"{name}.jpg", size)
        row: list[Color] = [(0, 0, 0), (0, 255, 0), (255, 0, 0)]
        colors(root / "SegmentationClass" / f"{name}.png", striped(size, row))
    text(root / "ImageSets/Segmentation/Train.txt", "clip a/frame_1\n")
    text(root / "ImageSets/Segmentation/Validation.txt", "clip b/frame_1\n")
    return root


IN_FULL: dict[str, Callable[[Path], object]] = {
    "apolloscape": lambda root: competition_tree(root, size=(338, 1710)),  # as tall as the set's own, a tenth as wide
    "camvid": lambda root: camvid_tree(root, (960, 720)),
    "comma10k": lambda root: comma_tree(root, size=(1164, 874)),
    "culane": lambda root: culane_tree(root, (1640, 590)),
    "cvat": lambda root: cvat_mask_export(root, (320, 180)),
    "tusimple": lambda root: tusimple_tree(root, 10),
}
"""Layouts by name, with pictures as tall as the set's own."""

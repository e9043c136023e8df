"""The registry of dataset formats. A reader is a function ``read(request) -> Layout``, imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lanecli.registry import Registry

if TYPE_CHECKING:
    from lanecli.data.layout import Layout, Request

    Reader = Callable[[Request], Layout]

FORMATS: Registry[Reader] = Registry("format")
_HERE = "lanecli.data.formats"
FORMATS.add(
    "apolloscape",
    f"{_HERE}.apolloscape:read",
    summary="Baidu / ApolloScape lane marks, as in the competition or the dataset; grouped by road and record",
    aliases=("baidu",),
    classes="apolloscape-8",
    frame=(3384, 1710),
    crop_top=690,
)
FORMATS.add(
    "camvid",
    f"{_HERE}.camvid:read",
    summary="CamVid in colours, or SegNet's copy in indices; grouped by sequence",
    classes="camvid-32",
)
FORMATS.add(
    "comma10k", f"{_HERE}.comma10k:read", summary="comma10k: imgs and masks; grouped by route", classes="comma10k"
)
FORMATS.add(
    "folder", f"{_HERE}.folder:read", summary="a folder of pictures and one of masks, paired by stem; grouped by folder"
)
FORMATS.add(
    "tusimple",
    f"{_HERE}.tusimple:read",
    summary="TuSimple: JSON lines with clips, or LaneNet-style folders; grouped by clip",
    classes="tusimple-binary",
)
FORMATS.add(
    "culane",
    f"{_HERE}.culane:read",
    summary="CULane: masks with four slots, official lists; grouped by clip",
    classes="culane",
)
FORMATS.add(
    "bdd100k-lane",
    f"{_HERE}.bdd100k:read_lane",
    summary="BDD100K lane marks (bit field); grouped by video",
    classes="bdd100k-lane",
)
FORMATS.add(
    "bdd100k-drivable",
    f"{_HERE}.bdd100k:read_drivable",
    summary="BDD100K drivable areas; grouped by video",
    classes="bdd100k-drivable",
)
FORMATS.add(
    "llamas",
    f"{_HERE}.llamas:read",
    summary="LLAMAS: projected markers, drawn as lines; grouped by drive",
    classes="llamas",
)
FORMATS.add(
    "kitti-road", f"{_HERE}.kitti_road:read", summary="KITTI road; grouped by kind of street", classes="kitti-road"
)
FORMATS.add(
    "cityscapes", f"{_HERE}.cityscapes:read", summary="Cityscapes fine labels; grouped by city", classes="cityscapes-19"
)
FORMATS.add(
    "cvat",
    f"{_HERE}.cvat:read",
    summary="CVAT: 'Segmentation mask 1.1' or 'CVAT for images 1.1', zip or unpacked; grouped by sequence",
)
FORMATS.add("labelme", f"{_HERE}.labelme:read", summary="LabelMe: a JSON beside each picture; grouped by sequence")
FORMATS.add("coco", f"{_HERE}.coco:read", summary="COCO: polygons and run lengths; grouped by sequence")

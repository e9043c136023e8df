"""Label maps of whole road scenes: comma10k, KITTI road, Cityscapes."""

from __future__ import annotations

from lanecli.labels import LabelClass, LabelMap, unpack_color

COMMA10K = LabelMap(
    "comma10k",
    tuple(
        LabelClass(name, unpack_color(value), (value,))
        for name, value in (
            ("road", 0x402020),
            ("lane markings", 0xFF0000),
            ("undrivable", 0x808060),
            ("movable", 0x00FF66),
            ("my car", 0xCC00FF),
            ("movable in my car", 0x00CCFF),
        )
    ),
    (),
    "colors",
    background=None,
)

KITTI_ROAD = LabelMap(
    "kitti-road",
    (LabelClass("not road", (255, 0, 0), (0xFF0000,)), LabelClass("road", (255, 0, 255), (0xFF00FF,))),
    (0x000000,),
    "colors",
)

# Name, labelId, colour; every other labelId is ignored in evaluation (cityscapesScripts).
_CITYSCAPES: tuple[tuple[str, int, tuple[int, int, int]], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)

CITYSCAPES = LabelMap(
    "cityscapes-19",
    tuple(LabelClass(name, color, (value,)) for name, value, color in _CITYSCAPES),
    (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255),
    background=None,
)

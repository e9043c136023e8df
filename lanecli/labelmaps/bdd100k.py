"""BDD100K: drivable areas, and lane marks whose 8-bit labels are a bit field, not class ids.

Bits 0-2 are the category, bit 3 is background, bit 4 dashed, bit 5 vertical (across the road); 255 is nothing (BDD100K
documentation, label format).
"""

from __future__ import annotations

from collections.abc import Callable

from lanecli.labels import LabelClass, LabelMap

CATEGORIES: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("crosswalk", (190, 153, 153)),
    ("double other", (128, 64, 255)),
    ("double white", (0, 160, 255)),
    ("double yellow", (255, 128, 0)),
    ("road curb", (128, 128, 128)),
    ("single other", (255, 0, 255)),
    ("single white", (0, 255, 0)),
    ("single yellow", (255, 255, 0)),
)
_MARKED = tuple(v for v in range(64) if not v & 8)
_NOTHING = (255, *(v for v in range(64) if v & 8))

LANE = LabelMap(
    "bdd100k-lane",
    (
        LabelClass("background", (0, 0, 0), _NOTHING),
        *(
            LabelClass(name, color, tuple(v for v in _MARKED if v & 7 == category))
            for category, (name, color) in enumerate(CATEGORIES)
        ),
    ),
    (),
)


def _where(condition: Callable[[int], bool]) -> tuple[int, ...]:
    return tuple(v for v in _MARKED if condition(v))


LANE_ATTRIBUTES = LabelMap(
    "bdd100k-lane-attributes",
    (
        LabelClass("background", (0, 0, 0), _NOTHING),
        LabelClass("lane line", (0, 255, 0), _where(lambda v: v & 7 not in (0, 4))),
        LabelClass("crosswalk", (190, 153, 153), _where(lambda v: v & 7 == 0)),
        LabelClass("curb", (128, 128, 128), _where(lambda v: v & 7 == 4)),
        LabelClass("yellow", (255, 255, 0), _where(lambda v: v & 7 in (3, 7))),
        LabelClass("dashed", (0, 160, 255), _where(lambda v: bool(v & 16))),
        LabelClass("across", (255, 0, 255), _where(lambda v: bool(v & 32))),
    ),
    (),
    multilabel=True,
)

DRIVABLE = LabelMap(
    "bdd100k-drivable",
    (
        LabelClass("direct", (219, 94, 86), (0,)),
        LabelClass("alternative", (86, 211, 219), (1,)),
        LabelClass("background", (0, 0, 0), (2,)),
    ),
    (255,),
    background=2,
)

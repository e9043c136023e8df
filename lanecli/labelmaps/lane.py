"""The label map `lane`: which of each layout's ids, colours or words are painted lines along the road.

A lane marking is a painted line that runs along the road and bounds or divides lanes: edge, dividing and guiding lines,
solid or dashed, single or double. Arrows, words, crossings and stop lines are not lane markings. If a data set has one
label for both, its pixels are ignored rather than trained as either. Comments beside each entry say what was found in
the data set.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from lanecli.errors import InputError
from lanecli.labels import LabelClass, LabelMap

BACKGROUND_COLOR = (0, 0, 0)
LANE_COLOR = (0, 255, 0)


class SourceValues(NamedTuple):
    """Source values of one layout."""

    lane: tuple[int, ...]
    background: tuple[int, ...]
    ignored: tuple[int, ...] = ()
    coding: str = "ids"


def _bdd100k() -> SourceValues:
    # Bits 0-2 are the category (0 crosswalk and 4 curb are not lane lines), bit 3 is background, bit 4 dashed, bit 5
    # across the road: painted categories along the road are lane lines, stop lines (bit 5) are not.
    lane = [v for v in range(64) if not v & 0b101000 and v & 7 in (1, 2, 3, 5, 6, 7)]
    return SourceValues(tuple(lane), tuple(v for v in (*range(64), 255) if v not in lane))


SOURCES: dict[str, SourceValues] = {
    # Lines along the road: 200 204 209 206 207 213 dividing, 201 203 208 211 guiding. Ignored: 218 219 chevrons; 223
    # worn-off old lines; 249 noise; 210 outlines of parking bays, whose long side bounds the carriageway while the
    # short sides lie across it; 250 mostly wide dashes between the lane and a bus bay or an exit, sometimes marks
    # across the road. 255 is the car's own bonnet, which the model must learn as background. In the labels it is one
    # fixed polygon whose top edge, row 1310, lies a little above the bonnet, so the nearest bit of paint is lost.
    "apolloscape": SourceValues(
        (200, 204, 209, 206, 207, 213, 201, 203, 208, 211),
        (0, 255, 202, 205, 212, 214, 215, 216, 217, 220, 221, 222, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233),
        (210, 218, 219, 223, 249, 250),
    ),
    # LaneMkgsDriv has lane and edge lines, but also words at bus stops, zigzags, box junctions and hatching, which
    # cannot be told apart. LaneMkgsNonDriv is rare; where it occurs, it is the double yellow edge line.
    "camvid": SourceValues(
        (0x8000C0, 0xC00040),
        (
            *(0x804080, 0x8080C0, 0x0000C0, 0x808080, 0x800000, 0x400080, 0x404000, 0x0080C0, 0x808000, 0x408040),
            *(0xC00080, 0x008040, 0x4000C0, 0xC08040, 0xC0C080, 0x404080, 0x808040, 0xC000C0, 0x804040, 0x40C080),
            *(0xC08080, 0x4080C0, 0x000040, 0x004040, 0xC04080, 0xC080C0, 0x400040, 0xC0C000, 0x40C000),
        ),
        (0x000000,),
        "colors",
    ),
    # Only lane lines: the data set's labelling rules leave out arrows, words and crossings.
    "comma10k": SourceValues((0xFF0000,), (0x402020, 0x808060, 0x00FF66, 0xCC00FF, 0x00CCFF), (), "colors"),
    # Lines are drawn through the gaps between dashes and through cars.
    "tusimple": SourceValues((255, 1, 2, 3, 4, 5, 6), (0,)),
    "culane": SourceValues((1, 2, 3, 4), (0,)),
    "llamas": SourceValues((1, 2, 3, 4, 255), (0,)),
    "bdd100k-lane": _bdd100k(),
    "folder": SourceValues((1,), (0,), (255,)),
    "binary": SourceValues((255,), (0,)),
}

_WITHOUT = {
    "kitti-road": "road areas",
    "bdd100k-drivable": "drivable areas",
    "cityscapes": "no class for paint on the road",
    "camvid-index": "lane markings merged into road",
}
_WORD = re.compile(
    "lanes?|lines?|markings?|dash|dashe[sd]|solid|divid(er|ers|ed|ing)|lsep|guiding|edges?"
    "|(lane|road|center|centre|edge|side|solid|dashed|broken|white|yellow)(line|mark|marking)s?"
)
_OTHER = re.compile("stop|crosswalks?|zebra|arrows?|areas?|drivable|texts?|words?|parking|background|not|no|non|ignore")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def reads_like_a_lane(word: str) -> bool:
    """Return whether a label means lines along the road, by whole words: ``solid lane`` does, ``hedge`` does not.

    ``solidWhiteLine``, ``lane_marking`` and ``lane-1`` are split into their parts.

    Example:
        >>> reads_like_a_lane("solidWhiteLine"), reads_like_a_lane("stop line")
        (True, False)
    """
    parts = {part.lower() for part in _PARTS.findall(word)}
    return any(map(_WORD.fullmatch, parts)) and not any(map(_OTHER.fullmatch, parts))


def _build(sides: SourceValues) -> LabelMap:
    return LabelMap(
        "lane",
        (
            LabelClass("background", BACKGROUND_COLOR, sides.background),
            LabelClass("lane marking", LANE_COLOR, sides.lane),
        ),
        sides.ignored,
        sides.coding,
    )


def lane_map(layout: str | None = None) -> LabelMap:
    """Return `lane` with the source values of one layout; without a layout it reads 0, 1 and 255 (ignored).

    Raises:
        InputError: the layout has no lane markings.
    """
    if layout is None:
        return _build(SourceValues((1,), (0,), (255,)))
    if layout in _WITHOUT:
        raise InputError(
            f"{layout} has {_WITHOUT[layout]}, no lane markings, so it cannot be prepared for 'lane': leave out "
            "--classes or give it a YAML file"
        )
    if layout not in SOURCES:
        raise InputError(f"label map 'lane' does not support the layout '{layout}': give --classes a YAML file")
    return _build(SOURCES[layout])


def lane_map_of_words(labels: Mapping[str, int], coding: str = "ids", ignored: Collection[int] = ()) -> LabelMap:
    """Return `lane` for labels that are words (CVAT, LabelMe, COCO): those that mean lines along the road.

    Args:
        labels: source value of each word.
        coding: coding of the source values.
        ignored: source values that are ignored.

    Raises:
        InputError: no label means lines along the road.
    """
    chosen = {v for word, v in labels.items() if reads_like_a_lane(word) and v not in ignored}
    if not chosen:
        raise InputError(
            f"none of the labels ({', '.join(labels) or 'there are none'}) looks like a lane marking: give --classes a "
            "YAML file that says which ones are"
        )
    rest = {*labels.values(), 0} - chosen - set(ignored)
    return _build(SourceValues(tuple(sorted(chosen)), tuple(sorted(rest)), tuple(sorted(ignored)), coding))

"""Named label maps, one Registry for all, and label maps of a user's own from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lanecli.errors import InputError, nearest
from lanecli.labelmaps.lane import lane_map
from lanecli.labels import LabelMap
from lanecli.registry import Registry
from lanecli.textfiles import read_yaml

LABEL_MAPS: Registry[LabelMap] = Registry("label map")
_HERE = "lanecli.labelmaps"
LABEL_MAPS.add("lane", lane_map(), summary="background, lane marking: what the shipped model speaks")
LABEL_MAPS.add("binary", f"{_HERE}.lines:BINARY", summary="0 and 255: background, lane marking", aliases=("0-255",))
LABEL_MAPS.add(
    "apolloscape-8",
    f"{_HERE}.apolloscape:EIGHT",
    summary="the Baidu competition's 8 classes",
    aliases=("baidu", "baidu-8"),
)
LABEL_MAPS.add(
    "apolloscape-9", f"{_HERE}.apolloscape:NINE", summary="the 9-class variant, with chevrons", aliases=("baidu-9",)
)
LABEL_MAPS.add("apolloscape-full", f"{_HERE}.apolloscape:FULL", summary="all 36 official lane mark classes")
LABEL_MAPS.add("camvid-32", f"{_HERE}.camvid:ALL", summary="CamVid's 31 classes by colour, Void ignored")
LABEL_MAPS.add("camvid-11", f"{_HERE}.camvid:ELEVEN", summary="SegNet's 11 classes, ids 0 to 10; lane marks are road")
LABEL_MAPS.add("comma10k", f"{_HERE}.roads:COMMA10K", summary="comma10k's classes by colour")
LABEL_MAPS.add("bdd100k-lane", f"{_HERE}.bdd100k:LANE", summary="BDD100K lane categories from the bit field")
LABEL_MAPS.add(
    "bdd100k-lane-attributes",
    f"{_HERE}.bdd100k:LANE_ATTRIBUTES",
    summary="BDD100K lane attributes, several at a pixel (multi-label)",
)
LABEL_MAPS.add("bdd100k-drivable", f"{_HERE}.bdd100k:DRIVABLE", summary="direct, alternative, background")
LABEL_MAPS.add("tusimple-binary", f"{_HERE}.lines:TUSIMPLE_BINARY", summary="background, lane (0 and 255)")
LABEL_MAPS.add("tusimple-slots", f"{_HERE}.lines:TUSIMPLE_SLOTS", summary="six lane slots, the ego lane's are 3 and 4")
LABEL_MAPS.add("culane", f"{_HERE}.lines:CULANE", summary="four lane slots, the ego lane's are 2 and 3")
LABEL_MAPS.add("llamas", f"{_HERE}.lines:LLAMAS", summary="four lane slots: l1, l0, r0, r1")
LABEL_MAPS.add("kitti-road", f"{_HERE}.roads:KITTI_ROAD", summary="not road, road; black ignored")
LABEL_MAPS.add(
    "cityscapes-19", f"{_HERE}.roads:CITYSCAPES", summary="the 19 evaluated classes", aliases=("cityscapes",)
)


def label_map(name: str, layout: str | None = None) -> LabelMap:
    """A named label map with its source side for one layout.

    Args:
        name: a name or alias in `LABEL_MAPS`.
        layout: which data set the labels come from. `lane` and `camvid-11` read different sources in each; without
            a layout they read train ids.

    Raises:
        InputError: an unknown name, or a layout whose labels hold no lane markings.
    """
    canonical = LABEL_MAPS.canonical(name)
    if canonical == "lane" and layout is not None:
        return lane_map(layout)
    if canonical == "camvid-11" and layout == "camvid":
        from lanecli.labelmaps.camvid import ELEVEN_BY_COLOR

        return ELEVEN_BY_COLOR
    return LABEL_MAPS.get(canonical)


def resolve_label_map(name: str, layout: str | None = None, labels: Mapping[str, int] | None = None) -> LabelMap:
    """A label map from a name or from the path of a YAML file (a name never ends in .yaml or .yml).

    Args:
        name: what `--classes` was given.
        layout: as in :func:`label_map`.
        labels: the layout's own label names and their source ids, which a YAML file's `sources` may use.
    """
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        return read_label_map(Path(name), labels)
    return label_map(name, layout)


def read_label_map(path: Path, labels: Mapping[str, int] | None = None) -> LabelMap:
    """Read a label map of a user's own.

    The form is that of ``LabelMap.to_dict``; `name` may be left out, and a source may be a number, a colour such as
    ``"#ff0000"``, or one of `labels`; a class named like one of them needs no sources. Colours make `coding` ``colors``
    without saying so.

    Raises:
        InputError: no such file, not YAML, a part missing or wrong, or an unknown label.
    """
    data = read_yaml(path)
    if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
        raise InputError(f"{path}: a label map is a mapping with 'classes', a list of name, color and sources")
    data.setdefault("name", path.stem)
    colors: list[str] = []

    def source(value: Any) -> Any:
        if not isinstance(value, str) or value.isdigit():
            return value
        if value.startswith("#") and len(value) == 7:
            colors.append(value)
            return _hexadecimal(value, path)
        if value in (labels or {}):
            return (labels or {})[value]
        hint = nearest(value, labels or {}) or (f"; there are: {', '.join(labels)}" if labels else "")
        raise InputError(f"{path}: '{value}' is no label of this data set{hint}")

    for entry in (*data["classes"], data):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: a class is a mapping with name, color and sources, not '{type(entry).__name__}'")
        key = "ignored" if entry is data else "sources"
        if key == "sources" and key not in entry and entry.get("name") in (labels or {}):
            entry[key] = [entry["name"]]
        if key in entry:
            entry[key] = [source(v) for v in (entry[key] if isinstance(entry[key], list) else [entry[key]])]
        if isinstance(entry.get("decode"), str):
            entry["decode"] = source(entry["decode"])
        if isinstance(entry.get("color"), str):
            packed = _hexadecimal(entry["color"], path)
            entry["color"] = [packed >> 16, packed >> 8 & 255, packed & 255]
    if colors:
        data.setdefault("coding", "colors")
        data.setdefault("ignored", [])
    try:
        return LabelMap.from_dict(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _hexadecimal(text: str, path: Path) -> int:
    try:
        return int(text.removeprefix("#"), 16)
    except ValueError as error:
        raise InputError(f"{path}: '{text}' is no colour; write one as '#rrggbb'") from error

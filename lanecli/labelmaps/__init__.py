"""Named label maps in one registry, and label maps that users write in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lanecli.errors import InputError, did_you_mean
from lanecli.labelmaps.lane import lane_map
from lanecli.labels import LabelMap
from lanecli.registry import Registry
from lanecli.textfiles import read_yaml

LABEL_MAPS: Registry[LabelMap] = Registry("label map")
_HERE = "lanecli.labelmaps"
LABEL_MAPS.add("lane", lane_map(), summary="background, lane marking: the classes of the shipped model")
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
LABEL_MAPS.add("tusimple-slots", f"{_HERE}.lines:TUSIMPLE_SLOTS", summary="six lane slots; 3 and 4 bound the ego lane")
LABEL_MAPS.add("culane", f"{_HERE}.lines:CULANE", summary="four lane slots; 2 and 3 bound the ego lane")
LABEL_MAPS.add("llamas", f"{_HERE}.lines:LLAMAS", summary="four lane slots: l1, l0, r0, r1")
LABEL_MAPS.add("kitti-road", f"{_HERE}.roads:KITTI_ROAD", summary="not road, road; black ignored")
LABEL_MAPS.add(
    "cityscapes-19", f"{_HERE}.roads:CITYSCAPES", summary="the 19 evaluated classes", aliases=("cityscapes",)
)


def label_map(name: str, layout: str | None = None) -> LabelMap:
    """Return a named label map with the source values of one layout.

    Args:
        name: a name or alias in `LABEL_MAPS`.
        layout: the data set the labels come from. `lane` and `camvid-11` have other source values in each; without a
            layout they read train ids.

    Raises:
        InputError: the name is unknown, or the layout has no lane markings.

    Example:
        >>> label_map("kitti-road").names
        ('not road', 'road')
    """
    canonical = LABEL_MAPS.canonical(name)
    if canonical == "lane" and layout is not None:
        return lane_map(layout)
    if canonical == "camvid-11" and layout == "camvid":
        from lanecli.labelmaps.camvid import ELEVEN_BY_COLOR

        return ELEVEN_BY_COLOR
    return LABEL_MAPS.get(canonical)


def resolve_label_map(name: str, layout: str | None = None, labels: Mapping[str, int] | None = None) -> LabelMap:
    """Return the label map of a name, or of a YAML file (a name never ends in .yaml or .yml).

    Args:
        name: the value of `--classes`.
        layout: as in :func:`label_map`.
        labels: the layout's own label names and their source ids, which a YAML file's `sources` may use.
    """
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        return read_label_map(Path(name), labels)
    return label_map(name, layout)


def read_label_map(path: Path, labels: Mapping[str, int] | None = None) -> LabelMap:
    """Read a user's own label map.

    The form is that of ``LabelMap.to_dict``. `name` may be left out. A source may be a number, a colour such as
    ``"#ff0000"``, or one of `labels`; a class with the name of such a label needs no sources. With colours, `coding` is
    ``colors`` by default.

    Raises:
        InputError: the file does not exist or is not YAML, a part is missing or wrong, or a label is unknown.
    """
    data = read_yaml(path)
    if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
        raise InputError(f"{path}: a label map must be a mapping with 'classes', a list of name, color and sources")
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
        hint = did_you_mean(value, labels or {}) or (f"; there are: {', '.join(labels)}" if labels else "")
        raise InputError(f"{path}: '{value}' is not a label of this data set{hint}")

    for entry in (*data["classes"], data):
        if not isinstance(entry, dict):
            raise InputError(
                f"{path}: a class must be a mapping with name, color and sources, not '{type(entry).__name__}'"
            )
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
        raise InputError(f"{path}: '{text}' is not a colour; write it as '#rrggbb'") from error

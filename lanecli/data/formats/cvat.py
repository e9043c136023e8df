"""CVAT: "Segmentation mask 1.1" and "CVAT for images 1.1", as the zip CVAT exports, unpacked, or the bare XML.

Polylines are only in the second; the first leaves them out without a word. Pictures are in the zip when they were
exported with it, else `--images` says where they are.
"""

from __future__ import annotations

from pathlib import Path

from lanecli.data.archive import unpack
from lanecli.data.formats.cvat_xml import read_annotations
from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, match
from lanecli.data.shapes import layout_of
from lanecli.data.words import map_of, sequence_of, split_of
from lanecli.errors import InputError
from lanecli.labelmaps.lane import lane_map_of_words
from lanecli.labels import pack_color

_PICTURES = ("JPEGImages", "images", ".")


def read(request: Request) -> Layout:
    """Read whichever export is there."""
    root = request.source
    if root.suffix.lower() == ".zip":
        if request.unpack_to is None:
            raise InputError(f"{root}: unpack it first")
        root = unpack(root, request.unpack_to)
    if root.is_file():
        return _read_xml(root, request.images or root.parent, request)
    if (root / "annotations.xml").is_file():
        return _read_xml(root / "annotations.xml", request.images or root, request)
    if (root / "labelmap.txt").is_file():
        return _read_masks(root, request)
    raise InputError(f"{root}: has neither annotations.xml (CVAT for images 1.1) nor labelmap.txt (Segmentation mask)")


def _read_masks(root: Path, request: Request) -> Layout:
    colors = read_labelmap(root / "labelmap.txt")
    labels = {word: pack_color(color) for word, color in colors.items()}
    pictures = request.images or next((root / n for n in _PICTURES[:2] if (root / n).is_dir()), None)
    if pictures is None:
        raise InputError(f"{root}: the export holds no pictures; export it with them, or give --images DIR")
    masks = root / "SegmentationClass"

    def key(path: Path, base: Path) -> str:
        return path.relative_to(base).with_suffix("").as_posix()

    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: key(p, pictures)),
        by_key(files_below(masks, (".png",)), lambda p: key(p, masks)),
    )
    official = {}
    for path in sorted((root / "ImageSets" / "Segmentation").glob("*.txt")):
        split = split_of(path.stem)
        official.update({line.strip(): split for line in path.read_text(encoding="utf-8").splitlines() if line.strip()})
    pairs = tuple(Pair(image, name, sequence_of(name), label, official.get(name)) for name, image, label in found)
    return Layout(
        pairs,
        map_of("cvat", labels, colors, coding="colors"),
        "cvat",
        labels=labels,
        lane=lambda: lane_map_of_words(labels, coding="colors"),
        notes=notes,
    )


def read_labelmap(path: Path) -> dict[str, tuple[int, int, int]]:
    """Colour by label from lines ``label:R,G,B:parts:actions``. Raises InputError naming a malformed line."""
    colors = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            word, rgb, *_ = line.split(":")
            red, green, blue = (int(c) for c in rgb.split(","))
        except ValueError as error:
            raise InputError(f"{path} line {number}: is not label:R,G,B:parts:actions: '{line}'") from error
        colors[word] = (red, green, blue)
    if len(set(colors.values())) < len(colors):
        raise InputError(f"{path}: two labels share a colour")
    return colors


def _read_xml(path: Path, images: Path, request: Request) -> Layout:
    annotations = read_annotations(path)
    pairs, missing = [], []
    for name, subset, drawing in annotations.pictures:
        candidates = (images / base / sub / name for base in ("images", ".") for sub in (subset, "."))
        image = next((c for c in candidates if c.is_file()), None)
        if image is None:
            missing.append(name)
            continue
        stem = name.with_suffix("").as_posix()
        pairs.append(Pair(image, stem, sequence_of(stem), drawing, split_of(subset) if subset else None))
    if not pairs:
        raise InputError(f"{path}: none of its {len(missing)} pictures is below {images}; give --images DIR")
    notes = list(annotations.notes)
    if missing:
        notes.append(f"{len(missing)} pictures named in {path.name} are not there, the first is {missing[0]}")
    return layout_of("cvat", pairs, request, annotations.words, annotations.colors, notes)

"""CVAT: "Segmentation mask 1.1" and "CVAT for images 1.1", as an exported zip, an unpacked folder, or the XML alone.

Only "CVAT for images 1.1" has polylines; CVAT silently drops them from the other. If the pictures were not exported
too, `--images` says where they are. Class ids follow the order of the task's labels. The pictures of a project are
grouped by task, since each video is a task.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from lanecli.data.formats.cvat_xml import Picture, read_annotations
from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, match
from lanecli.data.lists import SplitLists
from lanecli.data.paths import FileReference, Finder, portable
from lanecli.data.shapes import Tally, layout_from_drawings
from lanecli.data.words import is_background, is_ignored, label_map_of, sequence_of, split_of
from lanecli.errors import InputError
from lanecli.labelmaps.lane import lane_map_of_words
from lanecli.labels import pack_color
from lanecli.media.pictures import read_color_mask
from lanecli.textfiles import numbered_lines

_PICTURES = ("JPEGImages", "images")


def read(request: Request) -> Layout:
    """Read whichever export it is."""
    root = request.source
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
    pictures = request.images or next((root / n for n in _PICTURES if (root / n).is_dir()), None)
    if pictures is None:
        raise InputError(f"{root}: the export holds no pictures; export them too, or give --images DIR")
    masks = root / "SegmentationClass"

    def key(path: Path, base: Path) -> str:
        return path.relative_to(base).with_suffix("").as_posix()

    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: key(p, pictures)),
        by_key(files_below(masks, (".png",)), lambda p: key(p, masks)),
    )
    official = SplitLists()
    lists = root / "ImageSets" / "Segmentation"
    for path in sorted(lists.glob("*.txt")) if lists.is_dir() else ():
        official.add(path, split_of(path.stem))
    pairs, unlisted = official.apply(Pair(image, name, sequence_of(name), label) for name, image, label in found)
    ignored = [value for word, value in labels.items() if is_ignored(word)]
    unused = _unused(labels, pairs) if request.classes is None else ()
    kept = {word: value for word, value in labels.items() if word not in unused}
    own = label_map_of("cvat", kept, colors, coding="colors")
    return Layout(
        pairs,
        own,
        "cvat",
        labels=labels,
        lane=lambda: lane_map_of_words(labels, "colors", ignored),
        unused=unused,
        notes=(*notes, *unlisted),
        guessed=True,
        splitting=f"ImageSets/Segmentation ({', '.join(official.files)})",
    )


def _unused(labels: dict[str, int], pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    """Return the labels that have no pixel in any mask. Reading ends as soon as every label has been seen."""
    unseen = {value: word for word, value in labels.items() if not is_background(word) and not is_ignored(word)}
    every = tuple(unseen.values())
    for pair in pairs:
        if not unseen:
            break
        try:
            color = read_color_mask(pair.label).astype(np.uint32)
        except InputError:  # it will be reported when the pair is prepared
            return ()
        for value in np.unique(color[..., 0] << 16 | color[..., 1] << 8 | color[..., 2]).tolist():
            unseen.pop(value, None)
    unused = tuple(unseen.values())
    return () if unused == every else unused


def read_labelmap(path: Path) -> dict[str, tuple[int, int, int]]:
    """Read each label's colour from lines ``label:R,G,B:parts:actions``. Raises InputError for a malformed line."""
    colors = {}
    for number, line in numbered_lines(path):
        if line.startswith("#"):
            continue
        try:
            word, rgb, *_ = line.split(":")
            red, green, blue = (int(c) for c in rgb.split(","))
            if not all(0 <= level <= 255 for level in (red, green, blue)):
                raise ValueError("a level is not 0 to 255")
        except ValueError as error:
            raise InputError(f"{path} line {number}: is not 'label:R,G,B:parts:actions': '{line:.80}'") from error
        colors[word] = (red, green, blue)
    if len(set(colors.values())) < len(colors):
        raise InputError(f"{path}: two labels have the same colour")
    return colors


def _read_xml(path: Path, images: Path, request: Request) -> Layout:
    tally = Tally()
    annotations = read_annotations(path, tally)
    finder = Finder(images, ("images", "JPEGImages"))
    pairs: list[Pair] = []
    tasks: list[str] = []
    names = [_named(finder, picture) for picture in annotations.pictures]
    for picture, image in zip(annotations.pictures, finder.find_all(names), strict=True):
        if image is None:
            tally.missing.append(picture.name)
            continue
        stem = portable(picture.name, picture.drawing.where).with_suffix("").as_posix()
        group = f"task {picture.task}" if picture.task else sequence_of(stem)
        split = split_of(picture.subset)
        name = f"{picture.subset}/{stem}" if picture.subset and picture.subset.lower() != "default" else stem
        pairs.append(Pair(image, portable(name, picture.drawing.where).as_posix(), group, picture.drawing, split))
        tasks.append(picture.task)
    if not pairs:
        raise InputError(
            f"{path}: none of its {len(tally.missing)} pictures exists below {images} "
            f"(the first is '{tally.missing[0]}'); give --images DIR"
        )
    shared = Counter(pair.name for pair in pairs)
    kept_apart = [
        replace(pair, name=f"task {task}/{pair.name}") if shared[pair.name] > 1 and task else pair
        for pair, task in zip(pairs, tasks, strict=True)
    ]
    return layout_from_drawings(
        "cvat",
        kept_apart,
        request,
        annotations.words,
        annotations.colors,
        tally.notes(path.name),
        left_out=tally.left_out,
        grouping="CVAT task" if any(tasks) else "recording (the folder, and the name up to its last number)",
        guessed=not any(tasks),
        splitting="the subsets of the CVAT project",
    )


def _named(finder: Finder, picture: Picture) -> FileReference:
    """Return a reference to the picture, in the folder of its subset if it is there."""
    where = picture.drawing.where
    if picture.subset:
        for folder in (f"images/{picture.subset}", picture.subset):
            if finder.find(f"{folder}/{picture.name}", where) is not None:
                return FileReference(f"{folder}/{picture.name}", where)
    return FileReference(picture.name, where)

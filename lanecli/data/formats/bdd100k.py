"""BDD100K: lane marks (bit fields, not class ids) and drivable areas (2 is background), as masks or JSON.

``images/100k/<split>/X.jpg`` is paired with ``labels/lane/masks/<split>/X.png`` or ``labels/drivable/masks/…``.
Without masks, labels are drawn from JSON: ``labels/lane/polygons/lane_<split>.json`` and
``labels/bdd100k_labels_images_<split>.json``, which list many pictures, or one file per picture. Each picture of the
100k set is from a different video, named by its stem.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lanecli.data.formats.bdd100k_json import Marks, draw_areas, draw_lanes, lanes_of, marks_of_file
from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match
from lanecli.data.shapes import Tally
from lanecli.data.words import split_of
from lanecli.errors import InputError

_IMAGES = ("images/100k", "images/10k", "images", "bdd100k/images/100k")
_GROUPING = "video (each picture is from a different one)"
_SPLITTING = "the folders train, val and test"


def _read(request: Request, task: str) -> Layout:
    root = request.source
    pictures = request.images or first_folder(root, *_IMAGES)
    folders = (f"labels/{task}/masks", f"bdd100k/labels/{task}/masks", f"{task}/masks")
    labels = next((root / folder for folder in folders if (root / folder).is_dir()), None)
    images = by_key(files_below(pictures), lambda p: p.relative_to(pictures).with_suffix("").as_posix())
    if labels is None:
        return _read_json(request, task, pictures, images)
    below = labels
    found, notes = match(
        root, images, by_key(files_below(below, (".png",)), lambda p: p.relative_to(below).with_suffix("").as_posix())
    )
    pairs = tuple(Pair(image, key, image.stem, label, split_of(key.split("/")[0])) for key, image, label in found)
    name = f"bdd100k-{task}"
    return Layout(pairs, name, name, notes=notes, grouping=_GROUPING, splitting=_SPLITTING)


def _read_json(request: Request, task: str, pictures: Path, images: dict[str, Path]) -> Layout:
    """Pair pictures by stem with the marks in the JSON files."""
    root, tally = request.source, Tally()
    by_stem = by_key(images.values(), lambda p: p.stem)
    labels = root / "labels" if (root / "labels").is_dir() else root
    pairs: dict[str, Pair] = {}
    for path in files_below(labels, (".json",)):
        for stem, marks in marks_of_file(path, task, tally):
            image = by_stem.get(stem)
            if image is None:
                tally.missing.append(stem)
                continue
            key = image.relative_to(pictures).with_suffix("").as_posix()
            split = split_of(key.split("/")[0]) if "/" in key else split_of(path.stem)
            seen: tuple[Marks, ...] = pairs[stem].label if stem in pairs else ()
            pairs[stem] = Pair(image, key, stem, (*seen, *marks), split)
    if not pairs:
        raise InputError(
            f"{root}: has no folder 'labels/{task}/masks', and no JSON file with {task} labels for the pictures below "
            f"{pictures}"
        )
    name = f"bdd100k-{task}"
    return Layout(
        tuple(pairs[stem] for stem in sorted(pairs, key=lambda s: pairs[s].name)),
        name,
        name,
        partial(draw_lanes, width=request.line_width) if task == "lane" else draw_areas,
        lanes=lanes_of if task == "lane" else None,
        notes=tuple(tally.notes("the labels")),
        annotations=sum(len(pair.label) for pair in pairs.values()),
        left_out=tally.left_out,
        grouping=_GROUPING,
        splitting=f"{_SPLITTING}, or the names of the JSON files",
    )


def read_lane(request: Request) -> Layout:
    """Read lane marks."""
    return _read(request, "lane")


def read_drivable(request: Request) -> Layout:
    """Read drivable areas."""
    return _read(request, "drivable")

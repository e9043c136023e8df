"""BDD100K: lane marks (a bit field, not class ids) and drivable areas (2 is background), both as id pictures.

``images/100k/<split>/X.jpg`` pairs with ``labels/lane/masks/<split>/X.png`` or ``labels/drivable/masks/…``. Each
picture of the 100k set is from a video of its own, named by its stem.
"""

from __future__ import annotations

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, first_folder, match

_SPLITS = {"train": "train", "val": "val", "test": "test"}


def _read(request: Request, task: str) -> Layout:
    root = request.source
    pictures = request.images or first_folder(root, "images/100k", "images/10k", "images", "bdd100k/images/100k")
    labels = first_folder(root, f"labels/{task}/masks", f"bdd100k/labels/{task}/masks", f"{task}/masks")
    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: p.relative_to(pictures).with_suffix("").as_posix()),
        by_key(files_below(labels, (".png",)), lambda p: p.relative_to(labels).with_suffix("").as_posix()),
    )
    pairs = tuple(Pair(image, key, image.stem, label, _SPLITS.get(key.split("/")[0])) for key, image, label in found)
    return Layout(pairs, f"bdd100k-{task}", f"bdd100k-{task}", notes=notes)


def read_lane(request: Request) -> Layout:
    """Lane marks."""
    return _read(request, "lane")


def read_drivable(request: Request) -> Layout:
    """Drivable areas."""
    return _read(request, "drivable")

"""Any folder of pictures with masks beside them, paired by stem.

``SRC/images`` and ``SRC/masks`` (or the usual other names), or one folder where masks end in a suffix. Subfolders are
mirrored; the group is the subfolder and the name up to its trailing number (``drive/frame_0012`` is of
``drive/frame``). A first subfolder called train, val or test is the split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, match
from lanecli.data.words import sequence_of
from lanecli.errors import InputError
from lanecli.media.pictures import read_mask

_IMAGES = ("images", "imgs", "image", "img", "JPEGImages", "pictures")
_MASKS = ("masks", "mask", "labels", "label", "annotations", "SegmentationClass", "gt")
_SUFFIXES = ("_mask", "_label", "_labels", "_gt", "_seg", "_bin", "_L")
_LOOKED_AT = 20
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def _folders(request: Request) -> tuple[Path, Path]:
    root = request.source
    masks = next((root / n for n in _MASKS if (root / n).is_dir()), None)
    images = request.images or next((root / n for n in _IMAGES if (root / n).is_dir()), None)
    if images and masks:
        return images, masks
    if request.images:
        return request.images, root
    if request.mask_suffix or request.image_suffix:
        return root, root
    raise InputError(
        f"{root}: has no folders 'images' and 'masks'; give --images DIR, or --mask-suffix when they lie together"
    )


def read(request: Request) -> Layout:
    """Pair by the path below the two folders, less the suffixes."""
    images, masks = _folders(request)
    pictures = list(files_below(images))
    labels = [p for p in files_below(masks) if p.suffix.lower() not in (".jpg", ".jpeg")]
    if images == masks:
        if request.mask_suffix:
            labels = [p for p in labels if p.stem.endswith(request.mask_suffix)]
            pictures = [p for p in pictures if not p.stem.endswith(request.mask_suffix)]
        else:
            pictures = [p for p in pictures if p.stem.endswith(request.image_suffix)]
            labels = [p for p in labels if not p.stem.endswith(request.image_suffix)]
    suffixes = (request.mask_suffix,) if request.mask_suffix else _SUFFIXES
    by_image = by_key(pictures, lambda p: _key(p, images, (request.image_suffix,)))
    by_label = by_key(labels, lambda p: _key(p, masks, ("",)))
    if not by_image.keys() & by_label.keys():
        by_label = by_key(labels, lambda p: _key(p, masks, suffixes))
    found, notes = match(request.source, by_image, by_label)
    if request.classes in (None, "lane") and _is_binary([label for _, _, label in found[:_LOOKED_AT]]):
        return Layout(
            tuple(_pair(*item) for item in found),
            "lane",
            "binary",
            notes=(*notes, "masks hold 0 and 255 only: 255 is read as lane marking, not as ignored"),
        )
    return Layout(tuple(_pair(*item) for item in found), "lane", "folder", notes=notes)


def _is_binary(masks: list[Path]) -> bool:
    """Whether masks are black and white: 255 would be taken for ignored otherwise, and nothing be learnt."""
    values: set[int] = set()
    for path in masks:
        try:
            values.update(np.unique(read_mask(path)).tolist())
        except InputError:  # it is named when its turn comes
            continue
        if values - {0, 255}:
            return False
    return 255 in values


def _key(path: Path, root: Path, suffixes: tuple[str, ...]) -> str:
    stem = path.stem
    stem = next((stem.removesuffix(s) for s in suffixes if s and stem.endswith(s)), stem)
    return (path.relative_to(root).parent / stem).as_posix()


def _pair(key: str, image: Path, label: Path) -> Pair:
    parts = Path(key).parts
    split = _SPLITS.get(parts[0]) if len(parts) > 1 else None
    inner = "/".join(parts[1:] if split else parts)
    return Pair(image, key, sequence_of(inner), label, split)

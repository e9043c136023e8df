"""Any folder of pictures with masks beside them, paired by stem.

``SRC/images`` and ``SRC/masks`` (or the usual other names), or one folder where masks end in a suffix. Subfolders are
mirrored; the group is the subfolder and the name up to its trailing number (``drive/frame_0012`` is of
``drive/frame``). A first subfolder called train, val or test is the split.

Masks of 0 and 255 only are black and white: 255 is lane marking. Where other ids stand beside it, 255 is ignored. All
masks decide; where they speak against each other, the set is refused with the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lanecli.data.layout import Layout, MisreadError, Pair, Request, by_key, files_below, match, read_ids
from lanecli.data.words import sequence_of, split_of
from lanecli.errors import InputError
from lanecli.labels import IGNORE_ID, LabelMap

_IMAGES = ("images", "imgs", "image", "img", "JPEGImages", "pictures")
_MASKS = ("masks", "mask", "labels", "label", "annotations", "SegmentationClass", "gt")
_SUFFIXES = ("_mask", "_label", "_labels", "_gt", "_seg", "_bin", "_L")
_INEXACT = (".jpg", ".jpeg")
_LOOKED_AT = 20
_QUESTION = (
    "is 255 lane marking, or ignored? '--classes binary' reads it as lane marking, a YAML label map with "
    "'ignored: [255]' as ignored"
)


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
    labels = list(files_below(masks))
    if images == masks:
        if request.mask_suffix:
            labels = [p for p in labels if p.stem.endswith(request.mask_suffix)]
            pictures = [p for p in pictures if not p.stem.endswith(request.mask_suffix)]
        else:
            pictures = [p for p in pictures if p.stem.endswith(request.image_suffix)]
            labels = [p for p in labels if not p.stem.endswith(request.image_suffix)]
    inexact = [p for p in labels if p.suffix.lower() in _INEXACT]
    labels = [p for p in labels if p.suffix.lower() not in _INEXACT]
    if inexact and not labels:
        raise InputError(f"{inexact[0]}: masks are JPEG pictures, in which ids are not exact; save them as PNG")
    suffixes = (request.mask_suffix,) if request.mask_suffix else _SUFFIXES
    by_image = by_key(pictures, lambda p: _key(p, images, (request.image_suffix,)))
    by_label = by_key(labels, lambda p: _key(p, masks, ("",)))
    if not by_image.keys() & by_label.keys():
        by_label = by_key(labels, lambda p: _key(p, masks, suffixes))
    found, notes = match(request.source, by_image, by_label)
    if inexact:
        notes += (f"{len(inexact)} JPEG masks left out, ids in them are not exact, the first is {inexact[0]}",)
    pairs = tuple(_pair(*item) for item in found)
    if request.classes not in (None, "lane"):
        return _layout(pairs, "folder", notes)
    ids = _layout(pairs, "folder", notes, doubt=_doubt)
    return _black_and_white(pairs, notes, ids) if _is_binary([pair.label for pair in pairs]) else ids


def _layout(pairs: tuple[Pair, ...], key: str, notes: tuple[str, ...], **facts: object) -> Layout:
    splitting = "the folders called train, val and test"
    return Layout(pairs, "lane", key, notes=notes, guessed=True, splitting=splitting, **facts)  # type: ignore[arg-type]


def _black_and_white(pairs: tuple[Pair, ...], notes: tuple[str, ...], ids: Layout) -> Layout:
    """The reading of 255 as lane marking, given up for that of ids when a mask holds another value."""

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        mask = read_ids(pair.label)
        if ((mask > 0) & (mask < IGNORE_ID)).any():
            raise MisreadError(f"{pair.label}: holds more than 0 and 255")
        return mask

    def doubt(counts: Sequence[np.ndarray]) -> str | None:
        if any(found[0] for found in counts):
            return None
        return f"{pairs[0].label}: every pixel of every mask is 255; {_QUESTION}"

    said = "masks hold 0 and 255 only: 255 is read as lane marking, not as ignored"
    return _layout(pairs, "binary", (*notes, said), load=load, doubt=doubt, otherwise=lambda: ids)


def _doubt(counts: Sequence[np.ndarray]) -> str | None:
    """The question, when some masks are of 0 and 255 and others of 0 and 1: two people's conventions in one set."""
    lanes = [bool(found[1]) for found in counts]
    ignored = [bool(found[IGNORE_ID]) for found in counts]
    if not any(ignored) or any(one and other for one, other in zip(lanes, ignored, strict=True)):
        return None
    if not any(lanes):
        return f"masks hold 255 but no lane marking (1); {_QUESTION}" if any(ignored) else None
    return f"{sum(ignored)} masks hold 255 and {sum(lanes)} others hold 1, none both; {_QUESTION}"


def _is_binary(masks: Sequence[Path]) -> bool:
    """Whether masks look black and white: 255 would be taken for ignored otherwise, and nothing be learnt.

    The first ones are looked at, and then those after them until one holds something. If a later one holds another
    value, that comes out when it is read.
    """
    values: set[int] = set()
    for number, path in enumerate(masks):
        if number >= _LOOKED_AT and values - {0}:
            break
        try:
            values.update(np.unique(read_ids(path)).tolist())
        except InputError:  # it is named when its turn comes
            continue
        if values - {0, IGNORE_ID}:
            return False
    return IGNORE_ID in values


def _key(path: Path, root: Path, suffixes: tuple[str, ...]) -> str:
    stem = path.stem
    stem = next((stem.removesuffix(s) for s in suffixes if s and stem.endswith(s)), stem)
    return (path.relative_to(root).parent / stem).as_posix()


def _pair(key: str, image: Path, label: Path) -> Pair:
    parts = Path(key).parts
    split = split_of(parts[0]) if len(parts) > 1 and parts[0].isalpha() else None
    inner = "/".join(parts[1:] if split else parts)
    return Pair(image, key, sequence_of(inner), label, split)

"""Any folder of pictures and one of masks, paired by stem.

The folders are ``SRC/images`` and ``SRC/masks`` (or other usual names), or a single folder where the stems of masks end
in a suffix. Both have the same subfolders. The group is the subfolder and the name up to its trailing number
(``drive/frame_0012`` is in ``drive/frame``). A first subfolder called train, val or test is the split.

In masks that hold only 0 and 255, 255 is lane marking; if there are other ids too, 255 is ignored. This is decided from
all masks, and if they contradict each other, the user is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    "is 255 lane marking or ignored? '--classes binary' reads it as lane marking, and a YAML label map with "
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
        f"{root}: has no folders 'images' and 'masks'; give --images DIR, or --mask-suffix if they are in one folder"
    )


def read(request: Request) -> Layout:
    """Pair pictures and masks by their path below the two folders, without suffixes."""
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
        raise InputError(f"{inexact[0]}: masks are JPEG files, in which ids are not exact; save them as PNG")
    suffixes = (request.mask_suffix,) if request.mask_suffix else _SUFFIXES
    by_image = by_key(pictures, lambda p: _key(p, images, (request.image_suffix,)))
    by_label = by_key(labels, lambda p: _key(p, masks, ("",)))
    if not by_image.keys() & by_label.keys():
        by_label = by_key(labels, lambda p: _key(p, masks, suffixes))
    found, notes = match(request.source, by_image, by_label)
    if inexact:
        notes += (f"{len(inexact)} JPEG masks left out, since their ids are not exact, the first is {inexact[0]}",)
    pairs = tuple(_pair(*item) for item in found)
    if request.classes not in (None, "lane"):
        return _layout(pairs, "folder", notes)
    ids = _layout(pairs, "folder", notes, question=_question_if_mixed)
    return _black_and_white(pairs, notes, ids) if _is_binary([pair.label for pair in pairs]) else ids


def _layout(pairs: tuple[Pair, ...], key: str, notes: tuple[str, ...], **attributes: Any) -> Layout:
    splitting = "the folders called train, val and test"
    return Layout(pairs, "lane", key, notes=notes, guessed=True, splitting=splitting, **attributes)


def _black_and_white(pairs: tuple[Pair, ...], notes: tuple[str, ...], ids: Layout) -> Layout:
    """Return the layout with 255 as lane marking, which is replaced by `ids` if a mask has another value."""

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        mask = read_ids(pair.label)
        if ((mask > 0) & (mask < IGNORE_ID)).any():
            raise MisreadError(f"{pair.label}: holds more than 0 and 255")
        return mask

    def question(counts: Sequence[np.ndarray]) -> str | None:
        if any(pixels[0] for pixels in counts):
            return None
        return f"{pairs[0].label}: every pixel of every mask is 255; {_QUESTION}"

    note = "masks hold only 0 and 255: 255 is read as lane marking, not as ignored"
    return _layout(pairs, "binary", (*notes, note), load=load, question=question, alternative=lambda: ids)


def _question_if_mixed(counts: Sequence[np.ndarray]) -> str | None:
    """Return the question to the user if some masks have 0 and 255 and others 0 and 1: two conventions in one set."""
    lanes = [bool(pixels[1]) for pixels in counts]
    ignored = [bool(pixels[IGNORE_ID]) for pixels in counts]
    if not any(ignored) or any(one and other for one, other in zip(lanes, ignored, strict=True)):
        return None
    if not any(lanes):
        return f"masks hold 255 but no lane marking (1); {_QUESTION}" if any(ignored) else None
    return f"{sum(ignored)} masks hold 255, {sum(lanes)} others hold 1, and none holds both; {_QUESTION}"


def _is_binary(masks: Sequence[Path]) -> bool:
    """Whether masks look black and white. In all others 255 is ignored, and nothing would be learnt from such masks.

    The first masks are read, and further ones until one is not empty. If a later mask has another value, that is
    noticed when it is prepared.
    """
    values: set[int] = set()
    for number, path in enumerate(masks):
        if number >= _LOOKED_AT and values - {0}:
            break
        try:
            values.update(np.unique(read_ids(path)).tolist())
        except InputError:  # it will be reported when the pair is prepared
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

"""Decodes predicted train ids to a competition's own ids, size and file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from lanecli.data.layout import files_below
from lanecli.data.orientation import upright_size
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Size
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import read_mask, write_mask, write_picture

_PREDICTED, _OF_VIDEO = ".mask", ".masks"
_DRAWN = (".overlay", ".uncertainty")


@dataclass(frozen=True)
class _Prediction:
    """A predicted mask, its picture's name without suffix, and the (width, height) to decode it at, or None."""

    path: Path
    name: PurePosixPath
    frame: Size | None


def decode_folder(
    predictions: Path,
    out: Path,
    label_map: LabelMap,
    frame: Size | None,
    crop_top: int,
    overwrite: bool = False,
    originals: Path | None = None,
) -> tuple[list[Path], list[str]]:
    """Write every mask below `predictions` as source ids below `out`, under its picture's name.

    All masks are read and checked before the first one is written.

    Args:
        predictions: the output of `lanecli predict --save masks` (``X.mask.png``; overlays and heat maps are skipped),
            or PNG files of train ids. Masks may have the frame's size, the frame's size without the cropped rows, or
            the network's size.
        out: the folder for ``X.png``, with the same subfolders.
        label_map: the classes and their source ids.
        frame: (width, height) that the competition expects; None for the original's size, or else the mask's own.
        crop_top: number of rows at the top that become background, whatever was predicted.
        overwrite: whether existing files are replaced.
        originals: the folder of the pictures, if masks are to have the paths of their pictures below it.

    Returns:
        The files that were written, and lines for the user.

    Raises:
        InputError: there are no predictions; values are not train ids, such as in masks that are decoded already; a
            prediction belongs to no original; or a file exists already.
    """
    masks, notes = _predictions(predictions, frame, originals)
    for item in masks:
        _check_train_ids(_read(item.path, label_map), label_map, str(item.path))
    targets = [out / item.name.parent / f"{item.name.name}.png" for item in masks]
    twice = {target for target in targets if targets.count(target) > 1} if len(set(targets)) < len(targets) else set()
    if twice:
        raise InputError(
            f"{predictions}: several masks would be written to {min(twice)}; decode the folders of different runs "
            "one at a time"
        )
    for target in targets if not overwrite else ():
        if target.exists():
            raise InputError(f"{target}: exists already; add --overwrite to replace it")
    for item, target in zip(masks, targets, strict=True):
        decoded = decode_mask(_read(item.path, label_map), label_map, item.frame, crop_top, str(item.path))
        if decoded.ndim == 2:
            write_mask(target, decoded, overwrite=overwrite)
        else:
            write_picture(target, decoded, overwrite=overwrite)
    return targets, notes


def _predictions(folder: Path, frame: Size | None, originals: Path | None) -> tuple[list[_Prediction], list[str]]:
    paths = list(files_below(folder, (".png",)))
    chosen = [p for p in paths if not p.stem.endswith(_DRAWN)]
    if not chosen:
        drawn = f", only {len(paths)} overlays or heat maps; predict with --save masks" if paths else ""
        raise InputError(f"{folder}: holds no PNG masks{drawn}")
    notes = []
    if len(chosen) < len(paths):
        notes.append(f"{len(paths) - len(chosen)} overlays and heat maps are skipped")
    masks = []
    for path in chosen:
        inner = PurePosixPath(path.relative_to(folder).as_posix())
        parts = [part.removesuffix(_OF_VIDEO) for part in inner.parts[:-1]]
        masks.append(_Prediction(path, PurePosixPath(*parts, inner.stem.removesuffix(_PREDICTED)), frame))
    return _named_as_originals(masks, originals, notes) if originals is not None else (masks, notes)


def _named_as_originals(
    masks: list[_Prediction], originals: Path, notes: list[str]
) -> tuple[list[_Prediction], list[str]]:
    """Return the predictions with the names and sizes of their pictures, and the notes."""
    pictures = {PurePosixPath(p.relative_to(originals).as_posix()).with_suffix(""): p for p in files_below(originals)}
    by_stem: dict[str, list[PurePosixPath]] = {}
    for name in pictures:
        by_stem.setdefault(name.name, []).append(name)
    renamed = []
    for item in masks:
        matches = [item.name] if item.name in pictures else by_stem.get(item.name.name, [])
        if len(matches) != 1:
            what = "two pictures have" if matches else "no picture has"
            raise InputError(f"{item.path}: {what} this name below {originals}")
        size = item.frame or upright_size(pictures[matches[0]])[0]
        renamed.append(_Prediction(item.path, matches[0], size))
    without = len(pictures) - len({item.name for item in renamed})
    if without:
        notes.append(f"{without} of {len(pictures)} pictures below {originals} have no prediction")
    return renamed, notes


def _read(path: Path, label_map: LabelMap) -> np.ndarray:
    try:
        return read_mask(path)
    except InputError as error:
        if label_map.coding == "colors" and "colour picture" in str(error):
            raise InputError(
                f"{path}: holds colours, not train ids; it is decoded already, or it is an overlay"
            ) from error
        raise


def _check_train_ids(mask: np.ndarray, label_map: LabelMap, where: str) -> None:
    """Raise InputError if the mask has values that are not train ids of the label map."""
    values = np.unique(mask)
    highest = int(values[values != IGNORE_ID].max(initial=0))
    if highest >= len(label_map.classes):
        raise InputError(
            f"{where}: value {highest} is not a train id of label map '{label_map.name}' "
            f"({len(label_map.classes)} classes); are these source ids already?"
        )
    owner = next((c.name for c in label_map.classes if c.decoded == IGNORE_ID), None)
    if label_map.coding == "ids" and owner is not None and IGNORE_ID in values:
        raise InputError(f"{where}: value {IGNORE_ID} is the source id of '{owner}'; these are source ids already")


def decode_mask(mask: np.ndarray, label_map: LabelMap, frame: Size | None, crop_top: int, where: str) -> np.ndarray:
    """Decode (h, w) train ids to source labels at the frame's size.

    Args:
        mask: (h, w) uint8 train ids.
        label_map: the classes and their source ids or colours.
        frame: (width, height) of the result; None for the mask's own size.
        crop_top: number of rows at the top that become background.
        where: the file, for error messages.

    Returns:
        (H, W) uint8 ids, or (H, W, 3) uint8 RGB for a label map of colours.

    Raises:
        InputError: a value is not a train id, or `crop_top` is not smaller than the height.
    """
    _check_train_ids(mask, label_map, where)
    background = label_map.background or 0
    width, height = frame or (mask.shape[1], mask.shape[0])
    if crop_top >= height:
        raise InputError(f"--crop-top {crop_top} leaves nothing of a {width}x{height} picture")
    if mask.shape != (height, width):
        placement = Geometry((mask.shape[1], mask.shape[0]), (0, crop_top, 0, 0)).place((width, height))
        mask = placement.inverse_mask(mask, fill=background)
    mask = mask.copy()
    mask[:crop_top] = background
    return label_map.decode(mask)

"""The way back: a folder of predicted train ids to a competition's own ids, size and names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lanecli.data.layout import files_below
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Size
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import read_mask, write_mask, write_picture

_PREDICTED = ".mask"


def decode_folder(
    predictions: Path, out: Path, label_map: LabelMap, frame: Size | None, crop_top: int, overwrite: bool = False
) -> list[Path]:
    """Write every mask below `predictions` as source ids below `out`, under its own name.

    Args:
        predictions: PNGs of train ids, ``X.mask.png`` or ``X.png``, at the frame's size, without the cropped rows, or
            at the network's size.
        out: where ``X.png`` goes; folders are mirrored.
        label_map: gives the source ids.
        frame: the size the competition wants; None keeps each mask's.
        crop_top: rows at the top that become background, whatever was predicted.
        overwrite: replace files that are there.

    Returns:
        The files written.

    Raises:
        InputError: no predictions, values that are no train ids, or files that exist.
    """
    written = []
    for path in files_below(predictions, (".png",)):
        target = out / path.relative_to(predictions).parent / f"{path.stem.removesuffix(_PREDICTED)}.png"
        decoded = decode_mask(read_mask(path), label_map, frame, crop_top, str(path))
        if decoded.ndim == 2:
            write_mask(target, decoded, overwrite=overwrite)
        else:
            write_picture(target, decoded, overwrite=overwrite)
        written.append(target)
    if not written:
        raise InputError(f"{predictions}: holds no PNG masks")
    return written


def decode_mask(mask: np.ndarray, label_map: LabelMap, frame: Size | None, crop_top: int, where: str) -> np.ndarray:
    """(h, w) train ids to (H, W) source ids of the frame's size, background above `crop_top`."""
    background = label_map.background or 0
    width, height = frame or (mask.shape[1], mask.shape[0])
    highest = int(mask[mask != IGNORE_ID].max(initial=0))
    if highest >= len(label_map.classes):
        raise InputError(
            f"{where}: value {highest} is no train id of label map '{label_map.name}' "
            f"({len(label_map.classes)} classes); are these source ids already?"
        )
    if crop_top >= height:
        raise InputError(f"--crop-top {crop_top} leaves nothing of a {width}x{height} picture")
    if mask.shape != (height, width):
        placement = Geometry((mask.shape[1], mask.shape[0]), (0, crop_top, 0, 0)).place((width, height))
        mask = placement.inverse_mask(mask, fill=background)
    mask = mask.copy()
    mask[:crop_top] = background
    return label_map.decode(mask)

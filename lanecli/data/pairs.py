"""The work on one pair of picture and label, and on many in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from lanecli.data.layout import Pair
from lanecli.data.plan import Plan
from lanecli.data.remap import encode, histogram
from lanecli.errors import InputError
from lanecli.geometry import Placement, Size
from lanecli.media.pictures import picture_size, read_mask, read_picture, write_mask, write_picture

T = TypeVar("T")
_QUALITY = 95
_ENOUGH = 0.99
"""A reduced picture may lack a hundredth of the size asked for."""


def prepare_pair(plan: Plan, pair: Pair) -> np.ndarray:
    """Read, encode, place and write one pair; (256,) pixel counts of its mask.

    Raises InputError naming the file that is broken, unknown, or of another size than its picture.
    """
    where = _where(pair)
    mask = encode(plan.label_map, plan.layout.load(pair, plan.label_map), where, plan.tolerance)
    size = (mask.shape[1], mask.shape[0])
    if not plan.cached:
        _check_size(picture_size(pair.image), size, pair, where)
        write_mask(plan.mask_path(pair), mask)
        return histogram(mask)
    placement = plan.geometry.place(size)
    placed = placement.mask(mask)
    write_picture(plan.image_path(pair), _place_picture(pair, placement, where), quality=_QUALITY)
    write_mask(plan.mask_path(pair), placed)
    return histogram(placed)


def _reduction(placement: Placement) -> int:
    """The largest of 8, 4 and 2 by which frame and crop divide evenly and that leaves enough for the size asked for."""
    left, top, right, bottom = placement.box
    wanted = (placement.content[2] - placement.content[0], placement.content[3] - placement.content[1])
    for factor in (8, 4, 2):
        enough = (right - left) / factor >= _ENOUGH * wanted[0] and (bottom - top) / factor >= _ENOUGH * wanted[1]
        if enough and not any(edge % factor for edge in (*placement.frame, *placement.box)):
            return factor
    return 1


def _place_picture(pair: Pair, placement: Placement, where: str) -> np.ndarray:
    """The pair's picture as `placement` leaves it, a JPEG decoded at a half, quarter or eighth where that is enough.

    A JPEG's own reduction averages whole blocks of pixels, so it keeps the half-pixel convention.
    """
    factor = _reduction(placement)
    reduced = (placement.frame[0] // factor, placement.frame[1] // factor)
    picture = read_picture(pair.image, at_least=reduced)
    if factor > 1 and picture.shape[1::-1] == reduced and picture_size(pair.image) == placement.frame:
        left, top, right, bottom = (edge // factor for edge in placement.box)
        return replace(placement, frame=reduced, box=(left, top, right, bottom)).picture(picture)
    if picture.shape[1::-1] != placement.frame:  # reduced though its size is wrong, or turned by its EXIF orientation
        picture = read_picture(pair.image)
    _check_size((picture.shape[1], picture.shape[0]), placement.frame, pair, where)
    return placement.picture(picture)


def check_pair(plan: Plan, pair: Pair) -> str | None:
    """What is wrong with a pair after reading all of both files, or None."""
    try:
        mask = encode(plan.label_map, plan.layout.load(pair, plan.label_map), _where(pair), plan.tolerance)
        picture = read_picture(pair.image)
        _check_size((picture.shape[1], picture.shape[0]), (mask.shape[1], mask.shape[0]), pair, _where(pair))
    except InputError as error:
        return str(error)
    return None


def _where(pair: Pair) -> str:
    return str(pair.label if isinstance(pair.label, Path) else pair.image)


def _check_size(picture: Size, mask: Size, pair: Pair, where: str) -> None:
    if picture != mask:
        raise InputError(
            f"{where}: is {mask[0]}x{mask[1]}, its picture {pair.image.name} is {picture[0]}x{picture[1]}; they must "
            "have one size"
        )


def counts_of_done(plan: Plan, pair: Pair) -> np.ndarray | None:
    """Pixel counts of a pair an earlier run finished, or None. The mask is written last and never half."""
    mask = plan.mask_path(pair)
    if not mask.is_file() or not plan.image_path(pair).is_file():
        return None
    try:
        return histogram(read_mask(mask))
    except InputError:
        return None


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """OpenCV's own threads off: pairs run in parallel already."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def in_parallel(
    work: Callable[[Pair], T], pairs: Sequence[Pair], workers: int | None, advance: Callable[[], object]
) -> list[T]:
    """`work` on every pair in threads, results in order; the first error stops all."""

    def step(pair: Pair) -> T:
        result = work(pair)
        advance()
        return result

    with single_threaded_opencv(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        try:
            return list(pool.map(step, pairs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise

"""Prepares or checks pairs of pictures and labels, one by one or many in parallel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from lanecli.data.layout import Pair
from lanecli.data.orientation import upright_size
from lanecli.data.plan import Plan
from lanecli.data.remap import encode, histogram
from lanecli.errors import InputError, LaneError
from lanecli.geometry import Placement, Size
from lanecli.media.pictures import read_mask, read_picture, write_mask, write_picture

T = TypeVar("T")
_QUALITY = 95
_LEAST_SHARE = 0.99
"""A JPEG decoded at reduced size must have at least this share of the size that is needed."""
_MOST_LISTED = 10
_GIVE_UP = 100
"""Number of broken pairs after which preparation stops, since more than a few pictures are wrong."""


class BrokenPairsError(InputError):
    """Some pairs cannot be prepared.

    Attributes:
        lines: what is wrong with each broken pair, in the order of the layout.
        total: number of all pairs.
    """

    def __init__(self, lines: Sequence[str], total: int) -> None:
        """Take the attributes."""
        self.lines, self.total = tuple(lines), total
        super().__init__(self.lines[0] if len(lines) == 1 else f"{self.summary}: {'; '.join(self.first_lines)}")

    @property
    def first_lines(self) -> tuple[str, ...]:
        """The first ten lines."""
        return self.lines[:_MOST_LISTED]

    @property
    def summary(self) -> str:
        """A line that says how many pairs are broken."""
        at_least = "at least " if len(self.lines) >= _GIVE_UP else ""
        return f"{at_least}{len(self.lines)} of {self.total} pairs cannot be prepared, so no dataset was made"


def prepare_pair(plan: Plan, pair: Pair) -> np.ndarray:
    """Read one pair, encode its mask, crop and resize both, and write them.

    Returns:
        (256,) pixel counts of the written mask.

    Raises:
        InputError: a file cannot be read, has unknown labels, or differs in size from its picture.
    """
    where = _where(pair)
    mask = _upright(encode(plan.label_map, plan.layout.load(pair, plan.label_map), where, plan.tolerance), pair, where)
    if not plan.cached:
        if plan.copied:
            _copy(pair.image, plan.image_path(pair))
        write_mask(plan.mask_path(pair), mask)
        return histogram(mask)
    placement = plan.geometry.place((mask.shape[1], mask.shape[0]))
    placed = placement.mask(mask)
    write_picture(plan.image_path(pair), _place_picture(pair, placement, where), quality=_QUALITY)
    write_mask(plan.mask_path(pair), placed)
    return histogram(placed)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _upright(mask: np.ndarray, pair: Pair, where: str) -> np.ndarray:
    """Return a mask in the orientation of its picture as shown, turning it if it has the size of the stored picture.

    If the two sizes are equal, as they are for square pictures, the mask is not turned.
    """
    shown, orientation = upright_size(pair.image)
    size = (mask.shape[1], mask.shape[0])
    if size != shown and orientation.size(size) == shown:
        return orientation.apply(mask)
    _check_size(shown, size, pair, where)
    return mask


def _reduction(placement: Placement) -> int:
    """Return the largest of 8, 4, 2 and 1 that divides frame and crop and leaves enough pixels for the final size."""
    left, top, right, bottom = placement.box
    wanted = (placement.content[2] - placement.content[0], placement.content[3] - placement.content[1])
    for factor in (8, 4, 2):
        enough = (right - left) / factor >= _LEAST_SHARE * wanted[0] and (
            bottom - top
        ) / factor >= _LEAST_SHARE * wanted[1]
        if enough and not any(edge % factor for edge in (*placement.frame, *placement.box)):
            return factor
    return 1


def _place_picture(pair: Pair, placement: Placement, where: str) -> np.ndarray:
    """Crop and resize the pair's picture, decoding a JPEG at a half, quarter or eighth of its size if that is enough.

    The JPEG decoder reduces by averaging blocks of pixels, which agrees with the half-pixel convention.
    """
    factor = _reduction(placement)
    reduced = (placement.frame[0] // factor, placement.frame[1] // factor)
    picture = read_picture(pair.image, at_least=reduced)
    if factor > 1 and picture.shape[1::-1] == reduced:
        left, top, right, bottom = (edge // factor for edge in placement.box)
        return replace(placement, frame=reduced, box=(left, top, right, bottom)).picture(picture)
    if picture.shape[1::-1] != placement.frame:  # it was reduced by another factor
        picture = read_picture(pair.image)
    _check_size((picture.shape[1], picture.shape[0]), placement.frame, pair, where)
    return placement.picture(picture)


def check_pair(plan: Plan, pair: Pair) -> np.ndarray:
    """Read both files of a pair completely and return the (256,) pixel counts of its mask.

    Raises:
        InputError: as for :func:`prepare_pair`.
    """
    where = _where(pair)
    mask = _upright(encode(plan.label_map, plan.layout.load(pair, plan.label_map), where, plan.tolerance), pair, where)
    picture = read_picture(pair.image)
    _check_size((picture.shape[1], picture.shape[0]), (mask.shape[1], mask.shape[0]), pair, where)
    plan.geometry.place((mask.shape[1], mask.shape[0]))
    return histogram(mask)


def _where(pair: Pair) -> str:
    return str(pair.label if isinstance(pair.label, Path) else pair.image)


def _check_size(picture: Size, mask: Size, pair: Pair, where: str) -> None:
    if picture != mask:
        raise InputError(
            f"{where}: is {mask[0]}x{mask[1]}, but its picture {pair.image.name} is {picture[0]}x{picture[1]}; they "
            "must have the same size"
        )


def counts_of_finished(plan: Plan, pair: Pair) -> np.ndarray | None:
    """Return the pixel counts of a pair that an earlier run finished, or None.

    A pair with a mask is finished, because masks are written last and completely.
    """
    mask = plan.mask_path(pair)
    if not mask.is_file() or not plan.image_path(pair).is_file():
        return None
    try:
        return histogram(read_mask(mask))
    except InputError:
        return None


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Context without OpenCV's own threads, for work that is parallel already."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def process_pairs(
    work: Callable[[Pair], T],
    pairs: Sequence[Pair],
    workers: int | None,
    advance: Callable[[], object],
) -> tuple[list[T], list[InputError]]:
    """Call `work` for every pair, in threads.

    Args:
        work: the function; for a broken pair it raises InputError, and the other pairs are still processed.
        pairs: the pairs.
        workers: number of threads; None for one per core.
        advance: called after each pair.

    Returns:
        The results and the errors of broken pairs, each in the order of the pairs. After `_GIVE_UP` errors the
        remaining pairs are skipped.

    Raises:
        LaneError: something else failed, such as writing to a full disk; all work stops.
    """
    broken = 0

    def step(pair: Pair) -> T | InputError:
        nonlocal broken
        if broken >= _GIVE_UP:
            return InputError("")
        try:
            return work(pair)
        except InputError as error:
            broken += 1
            return error
        except MemoryError as error:
            raise LaneError(f"{pair.image}: there is not enough memory; use fewer --workers") from error
        finally:
            advance()

    with single_threaded_opencv(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        try:
            results = list(pool.map(step, pairs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    errors = [item for item in results if isinstance(item, InputError) and str(item)]
    return [item for item in results if not isinstance(item, InputError)], errors

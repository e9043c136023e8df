"""The work on one pair of picture and label, and on many in parallel."""

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
_ENOUGH = 0.99
"""A reduced picture may lack a hundredth of the size asked for."""
_NAMED = 10
_GIVE_UP = 100
"""So many broken pairs are enough to stop: it is not a picture or two then."""


class BrokenPairsError(InputError):
    """Some pairs cannot be prepared. `lines` says of each what is wrong, in the order of the layout."""

    def __init__(self, lines: Sequence[str], total: int) -> None:
        """Args: lines: one per broken pair; total: pairs there are."""
        self.lines, self.total = tuple(lines), total
        super().__init__(self.lines[0] if len(lines) == 1 else f"{self.summary}: {'; '.join(self.named)}")

    @property
    def named(self) -> tuple[str, ...]:
        """The first ten lines."""
        return self.lines[:_NAMED]

    @property
    def summary(self) -> str:
        """How many are broken, in a few words."""
        at_least = "at least " if len(self.lines) >= _GIVE_UP else ""
        return f"{at_least}{len(self.lines)} of {self.total} pairs cannot be prepared, so no dataset was made"


def prepare_pair(plan: Plan, pair: Pair) -> np.ndarray:
    """Read, encode, place and write one pair; (256,) pixel counts of its mask.

    Raises InputError naming the file that is broken, unknown, or of another size than its picture.
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
    """A mask of its picture's size as shown; one made of a picture as it lies in its file is turned as that is.

    Where both are of one size, as of square pictures, the mask is taken as it is.
    """
    shown, orientation = upright_size(pair.image)
    size = (mask.shape[1], mask.shape[0])
    if size != shown and orientation.size(size) == shown:
        return orientation.apply(mask)
    _check_size(shown, size, pair, where)
    return mask


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
    if factor > 1 and picture.shape[1::-1] == reduced:
        left, top, right, bottom = (edge // factor for edge in placement.box)
        return replace(placement, frame=reduced, box=(left, top, right, bottom)).picture(picture)
    if picture.shape[1::-1] != placement.frame:  # reduced further than is of use
        picture = read_picture(pair.image)
    _check_size((picture.shape[1], picture.shape[0]), placement.frame, pair, where)
    return placement.picture(picture)


def check_pair(plan: Plan, pair: Pair) -> np.ndarray:
    """Read all of both files of a pair; (256,) pixel counts of its mask. Raises InputError for what is wrong."""
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
    work: Callable[[Pair], T],
    pairs: Sequence[Pair],
    workers: int | None,
    advance: Callable[[], object],
) -> tuple[list[T], list[InputError]]:
    """`work` on every pair in threads.

    Args:
        work: raises InputError for a pair that is broken; the others are done all the same.
        pairs: what to work on.
        workers: threads; None is one per core.
        advance: called after each pair.

    Returns:
        Results in order, and what is wrong with each broken pair, in order; after `_GIVE_UP` of them the rest is left.

    Raises:
        LaneError: what is no pair's fault, such as a full disk, stops all.
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
            raise LaneError(f"{pair.image}: there is not enough memory for it; fewer --workers need less") from error
        finally:
            advance()

    with single_threaded_opencv(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        try:
            found = list(pool.map(step, pairs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    errors = [item for item in found if isinstance(item, InputError) and str(item)]
    return [item for item in found if not isinstance(item, InputError)], errors

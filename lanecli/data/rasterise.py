"""Draws polygons, lines, circles and run-length masks into masks of ids.

Points are in pixel-centre coordinates: (0, 0) is the centre of the top-left pixel. In annotation tools, (0, 0) is the
outer corner of that pixel; :func:`from_corners` converts.

Shapes are drawn in bands of `_BAND` pixels, so that drawing takes at most about 100 MB besides the mask, however large
the picture and however intricate the shape. A run-length mask takes one byte per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.media.picture_header import MAX_PIXELS

_JOINT = 16  # corners of the polygon that rounds a joint of a line
_BAND = 1 << 22
"""Number of pixels, and of crossings of outlines with rows, that are processed at a time."""
_MAX_CROSSINGS = 1 << 28
"""Largest number of crossings of an outline with the picture's rows; a shape with more would take minutes."""
_FAR = 1e7
"""Coordinates are clipped to this absolute value, far outside any picture, so that differences stay exact enough."""
_SHORTEST = 1e-9
"""Length in pixels below which a piece of a line has no direction: dividing by it would overflow."""


def are_points(values: np.ndarray) -> bool:
    """Whether all numbers can be coordinates: finite, and not so large that computing with them could overflow."""
    return bool((np.abs(values) <= _FAR).all())


def blank(size: Size, where: str) -> np.ndarray:
    """Return (H, W) uint8 zeros for a (width, height). Raises InputError if a picture cannot have this size."""
    width, height = size
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise InputError(f"{where}: {width}x{height} is not a valid picture size")
    return np.zeros((height, width), np.uint8)


def from_corners(points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Convert points, with (0, 0) at the outer corner of the top-left pixel, to (N, 2) pixel-centre coordinates."""
    return np.asarray(points, float).reshape(-1, 2) - 0.5


def fill_polygon(mask: np.ndarray, points: np.ndarray, value: int) -> None:
    """Set the pixels whose centres are inside a polygon (even-odd rule), without half a pixel more at its edges.

    Args:
        mask: (H, W) uint8, modified in place.
        points: (N, 2) x, y in pixel-centre coordinates; the last point is connected to the first.
        value: the value to set, 0..255.

    Raises:
        InputError: the outline has more than `_MAX_CROSSINGS` crossings.

    Example:
        >>> mask = np.zeros((3, 4), np.uint8)
        >>> fill_polygon(mask, np.array([(0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5)]), 7)
        >>> mask.tolist()
        [[0, 0, 0, 0], [0, 7, 7, 0], [0, 7, 7, 0]]
    """
    if len(points) > 2 and np.isfinite(points).all():
        points = np.clip(points, -_FAR, _FAR)
        _fill(mask, np.concatenate([points, np.roll(points, -1, axis=0)], axis=1), value, even_odd=True)


def draw_line(mask: np.ndarray, points: np.ndarray, value: int, width: float) -> None:
    """Draw a polyline exactly `width` pixels wide with round joints and square ends.

    OpenCV's thick lines are not used, because their width depends on its version (in 5.0, a vertical line of thickness
    5 is 7 pixels wide).

    Args:
        mask: (H, W) uint8, modified in place.
        points: (N, 2) x, y in pixel-centre coordinates; they may be outside the mask, and those that are not finite
            are left out.
        value: the value to set, 0..255.
        width: the line's width in pixels.

    Raises:
        InputError: the outline has more than `_MAX_CROSSINGS` crossings.
    """
    points = np.clip(points[np.isfinite(points).all(axis=1)], -_FAR, _FAR)
    along = np.diff(points, axis=0)
    length = np.hypot(along[:, 0], along[:, 1])
    long_enough = length > _SHORTEST
    start, end = points[:-1][long_enough], points[1:][long_enough]
    if not len(start):
        return
    across = along[long_enough][:, ::-1] * [-1, 1] * (width / 2 / length[long_enough])[:, None]
    # all outlines run in the same direction, so that the winding number is not zero inside any of them
    outlines = [np.stack([start + across, end + across, end - across, start - across], axis=1)]
    if len(start) > 1:
        angle = -np.linspace(0, 2 * np.pi, _JOINT, endpoint=False)
        disc = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (width / 2)
        outlines.append(start[1:, None] + disc)
    edges = [np.concatenate([o, np.roll(o, -1, axis=1)], axis=2).reshape(-1, 4) for o in outlines]
    _fill(mask, np.concatenate(edges), value, even_odd=False)


def _fill(mask: np.ndarray, edges: np.ndarray, value: int, *, even_odd: bool) -> None:
    """Fill the pixels whose centres are inside closed outlines, given as (N, 4) edges x0, y0, x1, y1."""
    height, width = mask.shape
    xs, ys = edges[:, ::2], edges[:, 1::2]
    left, right = int(max(0.0, np.ceil(xs.min()))), int(min(float(width), np.floor(xs.max()) + 1))
    top, bottom = int(max(0.0, np.ceil(ys.min()))), int(min(float(height), np.floor(ys.max()) + 1))
    if top >= bottom or left >= right:
        return
    first = np.clip(np.ceil(ys.min(axis=1)), top, bottom).astype(int)
    last = np.clip(np.ceil(ys.max(axis=1)), top, bottom).astype(int)
    crossings = int((last - first).sum())
    if crossings > _MAX_CROSSINGS:
        raise InputError(f"a shape of {len(edges)} edges is too intricate to be drawn")
    band = max(1, min(_BAND // (right - left), _BAND // 4 * (bottom - top) // max(crossings, 1)))
    if band >= bottom - top:
        _fill_rows(mask, edges, first, last, (left, top, right, bottom), value, even_odd)
        return
    for start in range(top, bottom, band):
        end = min(start + band, bottom)
        inside = (first < end) & (last > start)
        rows = np.clip(first[inside], start, end), np.clip(last[inside], start, end)
        _fill_rows(mask, edges[inside], *rows, (left, start, right, end), value, even_odd)


def _fill_rows(
    mask: np.ndarray,
    edges: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    box: tuple[int, int, int, int],
    value: int,
    even_odd: bool,
) -> None:
    """Fill the pixels of a box. In it, each edge crosses the rows from `first` up to but without `last`."""
    left, top, right, bottom = box
    # each edge changes the count of all pixels to its right, in the rows whose centre line it crosses
    crossed = last - first
    edge = np.repeat(np.arange(len(edges)), crossed)
    rows = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed)
    x0, y0, x1, y1 = edges[edge].T
    crossings = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
    columns = np.clip(np.ceil(crossings), left, right).astype(int) - left
    counts = np.zeros((bottom - top, right - left + 1), np.int32)
    np.add.at(counts, (rows - top, columns), 1 if even_odd else np.where(y1 > y0, 1, -1))
    counts = np.cumsum(counts[:, :-1], axis=1, dtype=np.int32)
    inside = (counts & 1 if even_odd else counts) != 0
    mask[top:bottom, left:right][inside] = value


def fill_circle(mask: np.ndarray, center: np.ndarray, radius: float, value: int) -> None:
    """Set the pixels whose centres are at most `radius` from `center` (x, y in pixel-centre coordinates)."""
    if not np.isfinite([*center, radius]).all():
        return
    x, y, radius = (float(np.clip(v, -_FAR, _FAR)) for v in (*center, radius))
    left, right = max(0, int(np.ceil(x - radius))), min(mask.shape[1], int(np.floor(x + radius)) + 1)
    top, bottom = max(0, int(np.ceil(y - radius))), min(mask.shape[0], int(np.floor(y + radius)) + 1)
    if left >= right:
        return
    columns = np.arange(left, right)[None]
    band = max(1, _BAND // (right - left))
    for start in range(top, bottom, band):
        rows = np.arange(start, min(start + band, bottom))[:, None]
        mask[start : start + len(rows), left:right][(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = value


def runs_to_mask(runs: Sequence[int] | np.ndarray, length: int, where: str) -> np.ndarray:
    """Return alternating run lengths, starting with a run of zeros, as (length,) bool.

    Raises:
        InputError: the run lengths do not add up to `length`.

    Example:
        >>> runs_to_mask([1, 2, 1], 4, "a.json").tolist()
        [False, True, True, False]
    """
    try:
        counts = np.asarray(runs)
        if counts.ndim != 1 or (counts.size and counts.dtype.kind not in "iu"):
            raise ValueError
        counts = counts.astype(np.int64)
        # no run is longer than the mask, so the sum cannot overflow
        if (counts < 0).any() or (counts > length).any() or counts.sum() != length:
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where}: run lengths do not add up to the {length} pixels of the mask") from error
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def coco_runs(text: str, where: str) -> list[int]:
    """Decode the run lengths in a compressed string of COCO (COCO API, maskApi).

    Each character minus 48 holds 5 bits of a number, the lowest first. From the third run on, a number is the
    difference to the run before the previous one.

    Raises:
        InputError: the string is malformed.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            raise InputError(f"{where}: '{text[:20]}' is not a run-length string")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise InputError(f"{where}: a run-length string ends in the middle of a number")
    return runs

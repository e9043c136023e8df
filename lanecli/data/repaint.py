"""Repaints the road of a real picture: new lane lines with the picture's own paint, light and wear.

The vanishing point, the width of lines, and the appearance of road and paint are all estimated from the picture's
labelled paint. A picture without paint is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LEAST_PAINT = 120  # pixels; less paint is not enough to estimate anything
_BINS = 7  # samples of a line's texture across its width
_FARTHEST = 0.02  # new lines end this share of the picture's height below the horizon


@dataclass(frozen=True)
class RoadEstimate:
    """What the existing paint tells about a picture.

    Attributes:
        vanishing: x, y of the vanishing point in pixels, where lane lines meet.
        width: width of a line in pixels, per pixel below the horizon.
        lowest: lowest row that may have paint, above the car's own bonnet.
        slopes: (N,) slopes of the existing lines from the vanishing point: pixels to the right per pixel down.
        road: (H, W) bool: where the picture resembles the road beside its paint.
        paint: (M, bins, 3) float32 ratios of the paint's brightness to that of the road beside it, across the lines.
    """

    vanishing: tuple[float, float]
    width: float
    lowest: int
    slopes: np.ndarray
    road: np.ndarray
    paint: np.ndarray


def repaint(
    picture: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, paint: int = 1, background: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Remove some of the existing lane lines and paint new ones in perspective.

    Args:
        picture: (H, W, 3) uint8 RGB of a road; it is not modified.
        mask: (H, W) uint8 train ids; it is not modified.
        rng: a random stream; the same stream gives the same picture.
        paint: train id of lane paint.
        background: train id of the road under it.

    Returns:
        A new picture and mask, or the given ones if there is too little paint to estimate the road from.
    """
    components = _paint_components(mask == paint)
    if components is None:
        return picture, mask
    view = estimate_road(picture, mask == paint, components, mask == background)
    if view is None:
        return picture, mask
    picture, mask = picture.copy(), mask.copy()
    chosen = rng.random(components[0]) < rng.choice([0.0, 0.5, 1.0], p=[0.5, 0.3, 0.2])
    if chosen.any():
        old = np.isin(components[1], np.flatnonzero(chosen) + 1)
        covered = remove_paint(picture, old, (mask == paint) & ~old, view, rng)
        mask[covered & (mask == paint)] = background
    for _ in range(int(rng.integers(1, 4))):
        _paint_line(picture, mask, view, rng, paint, background)
    return picture, mask


def _paint_components(paint: np.ndarray) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Return the number of connected components of the paint, their labels from 1, and their statistics.

    Return None if there is too little paint.
    """
    if cv2.countNonZero(paint.astype(np.uint8)) < _LEAST_PAINT:
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats(paint.astype(np.uint8), connectivity=8)
    return count - 1, labels, stats[1:]


def estimate_road(
    picture: np.ndarray, paint: np.ndarray, components: tuple[int, np.ndarray, np.ndarray], plain: np.ndarray
) -> RoadEstimate | None:
    """Estimate the road of a picture from its paint. Return None if that is not possible.

    Args:
        picture: (H, W, 3) uint8 RGB.
        paint: (H, W) bool: where there is paint.
        components: its connected components, from `_paint_components`.
        plain: (H, W) bool: what may be road.
    """
    height, width = paint.shape
    lines, lengths = [], []
    for number in np.argsort(-components[2][:, cv2.CC_STAT_AREA])[:24] + 1:
        left, top, w, h = components[2][number - 1, :4]
        if h < 0.02 * height or components[2][number - 1, cv2.CC_STAT_AREA] < 40:
            continue
        rows, columns = np.nonzero(components[1][top : top + h, left : left + w] == number)
        direction_x, direction_y, x, y = cv2.fitLine(
            np.stack([columns + left, rows + top], 1).astype(np.float32), cv2.DIST_L2, 0, 0.01, 0.01
        ).ravel()
        if abs(direction_y) > 0.12:  # marks across the road do not show its direction
            lines.append((direction_y, -direction_x, direction_y * x - direction_x * y))
            lengths.append(float(np.hypot(w, h)))
    top_row = int(np.flatnonzero(paint.any(1))[0])
    highest = top_row - 0.01 * height
    vanishing = (width / 2, max(0.2 * height, highest - 0.02 * height))
    if len(lines) >= 2:
        vanishing = _meeting_point(np.array(lines), np.array(lengths), vanishing)
    vanishing = (
        float(np.clip(vanishing[0], 0.15 * width, 0.85 * width)),
        float(np.clip(vanishing[1], 0.15 * height, min(0.7 * height, highest))),
    )
    if vanishing[1] <= 0:
        return None
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    near = cv2.dilate(paint.astype(np.uint8), kernel, iterations=2)
    ring = (cv2.dilate(near, kernel, iterations=max(3, width // 160)) > 0) & (near == 0) & plain
    if np.count_nonzero(ring) < _LEAST_PAINT:
        return None
    road = _resembling_road(picture, ring, plain | paint, int(vanishing[1]))
    bank, widths, slopes = _measure_paint(picture, paint, ring, vanishing)
    if not len(bank):
        return None
    thick = float(np.clip(np.quantile(widths, 0.4), 0.012, 0.12))
    order = np.lexsort((np.arange(len(bank)), np.rint(slopes / (2 * thick))))  # keeps the rows of a line together
    lowest = min(int(np.flatnonzero(paint.any(1))[-1] + 0.02 * height), _bonnet_row(picture, vanishing))
    return RoadEstimate(vanishing, thick, lowest, slopes, road, bank[order])


def _meeting_point(lines: np.ndarray, weights: np.ndarray, start: tuple[float, float]) -> tuple[float, float]:
    """Return the point nearest to lines a x + b y = c (unit normals), reweighted so that outliers count less."""
    point = np.array(start)
    weights = weights / weights.sum()
    factor = np.ones(len(lines))
    for _ in range(8):
        w = weights * factor
        normal = (lines[:, :2] * w[:, None]).T @ lines[:, :2] + 1e-6 * np.eye(2)
        point = np.linalg.solve(normal, (lines[:, :2] * w[:, None]).T @ lines[:, 2] + 1e-6 * np.array(start))
        factor = 1 / (1 + ((lines[:, :2] @ point - lines[:, 2]) / 12) ** 2)
    return float(point[0]), float(point[1])


def _resembling_road(picture: np.ndarray, ring: np.ndarray, open_to: np.ndarray, horizon: int) -> np.ndarray:
    """Return (H, W) bool: pixels below the horizon whose colour resembles that of `ring`, with small holes closed.

    Lightness may differ more than hue.
    """
    width = ring.shape[1]
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), max(1.0, width / 500)), cv2.COLOR_RGB2LAB).astype(np.float32)
    seen = lab[ring]
    middle, spread = np.median(seen, 0), seen.std(0)
    reach = np.maximum(spread, (14.0, 3.0, 3.0)) * (2.2, 2.5, 2.5)
    like = (cv2.inRange(lab, middle - reach, middle + reach) > 0) & open_to
    like[: max(0, horizon)] = False
    size = max(3, width // 160) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    like = cv2.morphologyEx(cv2.morphologyEx(like.astype(np.uint8), cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    labels = cv2.connectedComponents(like)[1]
    beside = np.bincount(labels[ring], minlength=labels.max() + 1) > 0
    beside[0] = False  # the component of all other pixels
    return np.asarray(beside[labels])


def _bonnet_row(picture: np.ndarray, vanishing: tuple[float, float]) -> int:
    """Return the row where the car's own bonnet seems to begin: the first edge near the car, or else the last row."""
    height, width = picture.shape[:2]
    centre = int(vanishing[0])
    middle = picture[:, max(0, centre - width // 5) : centre + width // 5]
    light = np.log(np.median(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY), 1) + 8.0)
    reach = max(1, height // 100)
    change = np.abs(light[2 * reach :] - light[: -2 * reach])
    first = int(vanishing[1] + 0.45 * (height - vanishing[1]))
    edges = np.flatnonzero(change[max(0, first - reach) :] > 0.3)
    return int(edges[0]) + max(first, reach) - reach if len(edges) else height - 1


def _measure_paint(
    picture: np.ndarray, paint: np.ndarray, ring: np.ndarray, vanishing: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure each run of paint in a row: its brightness relative to the road beside it, its width and its slope."""
    bank, widths, slopes = [], [], []
    height, width = paint.shape
    values = picture.astype(np.float32) + 1
    for y in range(int(vanishing[1] + 0.03 * height), height, max(1, height // 240)):
        row = np.flatnonzero(np.diff(np.concatenate([[0], paint[y].astype(np.int8), [0]])))
        for first, last in zip(row[::2], row[1::2], strict=True):
            if not 3 <= last - first <= 0.2 * (y - vanishing[1]) or last - first > width // 8:
                continue
            around = slice(max(0, first - 12), last + 12)
            beside = values[y, around][ring[y, around]]
            if len(beside) < 2:
                continue
            ratio = values[y, first:last] / beside.mean(0)
            if ratio.mean() < 1.12:  # the paint is worn away or in glare
                continue
            at = np.linspace(0, last - first - 1, _BINS)
            bank.append(np.stack([np.interp(at, np.arange(last - first), ratio[:, c]) for c in range(3)], 1))
            widths.append((last - first) / (y - vanishing[1]))
            slopes.append(((first + last - 1) / 2 - vanishing[0]) / (y - vanishing[1]))
    if not bank:
        return np.empty((0, _BINS, 3), np.float32), np.array([0.03]), np.empty(0)
    return np.array(bank, np.float32), np.array(widths), np.array(slopes)


def remove_paint(
    picture: np.ndarray, old: np.ndarray, kept: np.ndarray, view: RoadEstimate, rng: np.random.Generator
) -> np.ndarray:
    """Cover paint with the road beside it at the same distance.

    Args:
        picture: (H, W, 3) uint8 RGB, modified in place.
        old: (H, W) bool: the paint to remove.
        kept: (H, W) bool: the paint that stays and may not be copied.
        view: the estimate for the picture.
        rng: the random stream, which chooses the side to copy from.

    Returns:
        (H, W) bool: the pixels that were covered.
    """
    width = old.shape[1]
    size = max(3, width // 240) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    cover = (cv2.dilate(old.astype(np.uint8), kernel) > 0) & ~kept
    cover[: int(view.vanishing[1]) + 1] = False
    if not cover.any():
        return cover
    blocked = (cv2.dilate((old | kept).astype(np.uint8), kernel, iterations=2) > 0) | ~view.road
    rows, columns = np.nonzero(cover)
    step = view.width * (rows - view.vanishing[1])
    source = np.full(len(rows), -1)
    for share in (1.8, 3.0, 5.0):
        for side in (-1, 1) if rng.random() < 0.5 else (1, -1):
            at = np.rint(columns + side * (share * step + size)).astype(int)
            inside = (at >= 0) & (at < width)
            free = inside & ~blocked[rows, np.clip(at, 0, width - 1)]
            source = np.where((source < 0) & free, at, source)
    top, left = np.maximum([rows.min() - 4 * size, columns.min() - 4 * size], 0)
    part = np.s_[top : rows.max() + 4 * size, left : columns.max() + 4 * size]
    filled = picture.astype(np.float32)
    known = source >= 0
    filled[rows[known], columns[known]] = picture[rows[known], source[known]]
    if not known.all():  # no road is beside these pixels, so they are filled in from their edges
        rest = np.zeros(old.shape, np.uint8)
        rest[rows[~known], columns[~known]] = 1
        filled[part] = np.where(
            rest[part][..., None] > 0,
            cv2.inpaint(picture[part], cover[part].astype(np.uint8), 3, cv2.INPAINT_TELEA),
            filled[part],
        )
    picture[part] = _match_surrounding_light(picture[part], filled[part], cover[part], kernel)
    return cover


def _match_surrounding_light(
    picture: np.ndarray, filled: np.ndarray, cover: np.ndarray, kernel: np.ndarray
) -> np.ndarray:
    """Return `picture` with `filled` inside `cover`, whose low-frequency brightness is matched to the surroundings."""
    around = ((cv2.dilate(cover.astype(np.uint8), kernel, iterations=3) > 0) & ~cover).astype(np.float32)
    inside = cover.astype(np.float32)
    sigma = 2.0 * len(kernel)

    def slow(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = cv2.GaussianBlur(where, (0, 0), sigma)[..., None] + 1e-4
        return cv2.GaussianBlur(values * where[..., None], (0, 0), sigma) / weight, weight

    wanted, weight = slow(picture.astype(np.float32), around)
    shift = np.clip(wanted - slow(filled, inside)[0], -40, 40) * np.minimum(1, weight / 0.05)
    edge = (cv2.GaussianBlur(inside, (0, 0), 0.8) * inside)[..., None]
    return np.clip(picture + edge * (filled + shift - picture), 0, 255).astype(np.uint8)


def _paint_line(
    picture: np.ndarray,
    mask: np.ndarray,
    view: RoadEstimate,
    rng: np.random.Generator,
    paint: int,
    background: int,
) -> None:
    """Paint one line, in place, wherever there is road."""
    height, width = mask.shape
    slope = _free_slope(view, rng)
    thick = view.width * np.exp(rng.normal(0, 0.2))
    # farther away, the line would be thinner than a pixel and only partly visible
    nearest, farthest = view.lowest - view.vanishing[1], max(_FARTHEST * height, 1.3 / thick)
    if nearest - farthest < 12:
        return
    below = np.geomspace(farthest, nearest, 400)
    bend = rng.normal(0, 0.0012) * width * height / 10
    middle = view.vanishing[0] + slope * below + bend * (1 / below - 1 / below[-1])
    style = rng.choice(["solid", "dashed", "double", "dots"], p=[0.4, 0.35, 0.2, 0.05])
    offsets = (-0.95 * thick, 0.95 * thick) if style == "double" else (0.0,)
    drawn = _dashes(below, rng, width, str(style))
    cover, across = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for offset in offsets:
        for a, b in drawn:
            _draw_strip(
                cover, across, view.vanishing[1] + below[a:b], middle[a:b] + offset * below[a:b], thick * below[a:b]
            )
    allowed = view.road & (mask == background)
    cover *= cv2.GaussianBlur(allowed.astype(np.float32), (0, 0), 0.7) * allowed
    seen = cover > 0.5
    _, labels, stats, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
    whole = stats[:, cv2.CC_STAT_AREA] >= 2e-5 * mask.size  # drops fragments that an uneven road mask cuts off
    whole[0] = True
    cover *= whole[labels]
    seen &= whole[labels]
    if np.count_nonzero(seen) < 0.0002 * mask.size:
        return
    rows, columns = np.nonzero(cover > 0.02)
    shade = _texture(view, height, rows, across[rows, columns], rng)
    ground = cv2.GaussianBlur(picture, (0, 0), 1.2)
    alpha = cover[rows, columns, None]
    under = picture[rows, columns].astype(np.float32)
    painted = under + ground[rows, columns].astype(np.float32) * (shade - 1)
    # cameras compress highlights: on a bright road, paint is less bright than its ratio suggests
    painted = np.where(painted > 215, 215 + 40 * (1 - np.exp(-(painted - 215) / 40)), painted)
    picture[rows, columns] = np.clip(under + alpha * (painted - under), 0, 255).astype(np.uint8)
    mask[seen] = paint


def _free_slope(view: RoadEstimate, rng: np.random.Generator) -> float:
    """Draw the slope of a new line, between the existing lines or a little outside, and away from each of them."""
    left, right = np.quantile(view.slopes, (0.02, 0.98))
    wide = max(0.03 * (right - left), 0.1)
    for _ in range(12):
        slope = float(rng.uniform(left - wide, right + wide))
        if np.abs(view.slopes - slope).min() > 3 * view.width:
            break
    return slope


def _dashes(below: np.ndarray, rng: np.random.Generator, width: int, style: str) -> list[tuple[int, int]]:
    """Return (start, end) indices into `below` of the painted pieces; dashes are equally long on the ground."""
    if style not in ("dashed", "dots"):
        return [(0, len(below))]
    distance = 0.9 * width / below  # in camera heights of about 1.4 m, for a lens of about 60 degrees
    period, share = (rng.uniform(4, 10), rng.uniform(0.25, 0.55)) if style == "dashed" else (rng.uniform(0.8, 2), 0.12)
    on = (distance / period + rng.random()) % 1 < share
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    return [(int(a), int(min(b + 1, len(below)))) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _draw_strip(cover: np.ndarray, across: np.ndarray, rows: np.ndarray, middle: np.ndarray, thick: np.ndarray) -> None:
    """Draw a strip, in place, into `cover` (0..1, antialiased), and the position across it (0..1) into `across`."""
    if len(rows) < 2:
        return
    outline = np.concatenate([np.stack([middle - thick / 2, rows], 1), np.stack([middle + thick / 2, rows], 1)[::-1]])
    top, bottom = max(0, int(rows.min()) - 1), int(rows.max()) + 3  # most dashes are a small part of the picture
    points = np.rint(np.clip(outline, -9999, 9999) * 16).astype(np.int32) - np.array((0, 16 * top), np.int32)
    strip = np.zeros_like(cover[top:bottom], np.uint8)
    cv2.fillPoly(strip, [points], 255, cv2.LINE_AA, 4)
    ys, xs = np.nonzero(strip)
    if not len(ys):
        return
    drawn, ys = strip[ys, xs], ys + top
    centre, wide = np.interp(ys, rows, middle), np.interp(ys, rows, thick)
    # a strip thinner than a pixel covers only part of it
    cover[ys, xs] = np.maximum(cover[ys, xs], drawn / 255 * np.minimum(1, wide))
    across[ys, xs] = np.clip((xs - centre) / np.maximum(wide, 1) + 0.5, 0, 1)


def _texture(
    view: RoadEstimate, height: int, at: np.ndarray, across: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return (N, 3) float32 ratios of the paint's brightness to the road's, sampled from the picture's own paint.

    Args:
        view: the estimate for the picture.
        height: number of the picture's rows.
        at: (N,) the row of each pixel.
        across: (N,) the pixel's position across the line, 0..1.
        rng: the random stream.
    """
    # neighbouring rows of the bank are from the same line, so consecutive rows keep its pattern of wear
    start = int(rng.integers(len(view.paint)))
    steps = np.cumsum(rng.random(height) < 0.7) + start
    rows = view.paint[steps % len(view.paint)]
    mean = view.paint.mean((0, 1))
    rows = mean + (rows - mean) * rng.uniform(0.6, 1.0)
    strength = rng.uniform(0.7, 1.15) * max(1.0, 0.35 / max(float(mean.mean()) - 1, 0.05))
    rows = np.maximum(1.05, 1 + (rows - 1) * strength)
    kind = rng.random()
    if kind < 0.25:  # yellow or white, whatever the colour of the picture's own paint
        tint = (1.06, 0.97, 0.66) if kind < 0.15 else (1.0, 1.0, 1.0)
        rows = np.maximum(rows.mean(2, keepdims=True) * np.array(tint, np.float32), 0.8)
    bins = np.rint(across * (_BINS - 1)).astype(np.int32)
    return np.asarray(rows[at, bins], np.float32)

"""Lane markings: the share of paint in every ground pixel, the labelled pixels, and the exact lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.cross_section import CrossSection
from lanecli.data.synth.lines import Line, Stripe
from lanecli.data.synth.road import GroundMap, RoadView
from lanecli.data.synth.textures import TILE, noise, sample_nearest

_LABEL_COVERAGE = 0.5
_THINNEST = 0.5  # width in pixels below which a line is not labelled
_SHORTEST = 3.0  # length in pixels below which a line is not reported
_MARGIN = 1.1  # factor on _THINNEST for reported lines, which must be labelled for certain
_LINE_POINTS = 160


@dataclass(frozen=True)
class Paint:
    """How the paint has aged.

    Attributes:
        opacity: opacity of paint that is not worn, 0..1.
        wear: from 0 (fresh) to 1 (mostly rubbed off, in fine patches); worn paint is still labelled.
        missing: share of the line's length where the paint is completely gone and not labelled.
        brightness: factor on the paint's colour.
        seed: selects the part of the noise that is used.
    """

    opacity: float
    wear: float
    missing: float
    brightness: float
    seed: int


class PaintLayer:
    """Paint on the ground rows: `alpha` (h, W) 0..1, `yellow` (h, W) bool, `label` (h, W) bool."""

    def __init__(self, ground: GroundMap) -> None:
        shape = ground.u.shape
        self.alpha = np.zeros(shape, np.float32)
        self.yellow = np.zeros(shape, bool)
        self.label = np.zeros(shape, bool)


def paint_lines(
    ground: GroundMap, cross_section: CrossSection, paint: Paint, widening: NDArray[np.float32] | None
) -> PaintLayer:
    """Paint every line of the cross-section.

    Args:
        ground: the point of the road that each pixel shows.
        cross_section: the cross-section.
        paint: the paint's state.
        widening: (h, W) widening in metres at every ground pixel, or None if the road does not widen.
    """
    layer = PaintLayer(ground)
    footprint = ground.u_across + ground.u_down
    reach = footprint + 0.4
    reach[~ground.seen] = -1.0
    thickest = np.maximum(ground.u_across, ground.u_down)
    for number, line in enumerate(cross_section.lines):
        side = ground.u - np.float32(line.offset)
        steps, widest = footprint, thickest
        if line.ride and widening is not None:
            side -= np.float32(line.ride) * widening
            # the line is not parallel to the road here, so its own slant counts
            down, across = (np.abs(part) for part in np.gradient(side))
            steps, widest = np.maximum(down + across, 1e-4), np.maximum(down, across)
        near = np.flatnonzero(np.abs(side) < reach)
        if near.size:
            _paint_line(layer, ground, line, side.ravel()[near], near, (steps, widest), paint, number)
    return layer


def _paint_line(
    layer: PaintLayer,
    ground: GroundMap,
    line: Line,
    side: NDArray[np.float32],
    near: NDArray[np.intp],
    footprints: tuple[NDArray[np.float32], NDArray[np.float32]],
    paint: Paint,
    number: int,
) -> None:
    """Paint one line at the flat pixel indices `near`, `side` metres right of its middle.

    `footprints` are the metres across the line that a pixel covers, (h, W): in all, and along its wider axis.
    """
    s = ground.s.ravel()[near]
    width_fp, across = (footprint.ravel()[near] for footprint in footprints)
    length_fp = np.maximum(ground.s_down.ravel()[near], 1e-3)
    ends = np.clip((s - line.start) / length_fp + 0.5, 0, 1) * np.clip((line.stop - s) / length_fp + 0.5, 0, 1)
    gone, rubbed = _wear(paint, number, side, s, length_fp)
    alpha = np.zeros_like(s)
    label = np.zeros(s.shape, bool)
    for stripe in line.stripes:
        d = side - np.float32(stripe.shift)
        along = _coverage_along(stripe, s, length_fp) * ends
        half = np.float32(stripe.width / 2)
        low, high = np.maximum(d - width_fp / 2, -half), np.minimum(d + width_fp / 2, half)
        cover = np.maximum(high - low, 0) / width_fp * along
        best_column = (np.abs(d) <= across / 2) & (along >= _LABEL_COVERAGE) & (stripe.width >= _THINNEST * across)
        label |= (cover >= _LABEL_COVERAGE) | best_column
        np.maximum(alpha, cover, out=alpha)
    label &= ~gone
    alpha *= rubbed * np.float32(paint.opacity)
    stronger = alpha > layer.alpha.ravel()[near]
    layer.alpha.ravel()[near[stronger]] = alpha[stronger]
    layer.yellow.ravel()[near[stronger]] = line.colour == "yellow"
    layer.label.ravel()[near[label]] = True


def _coverage_along(stripe: Stripe, s: NDArray[np.float32], footprint: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of [s - footprint/2, s + footprint/2] that is painted."""
    if stripe.period == 0:
        return np.ones_like(s)
    period, dash = np.float32(stripe.period), np.float32(stripe.dash)

    def painted(x: NDArray[np.floating]) -> NDArray[np.floating]:
        whole = np.floor(x / period)
        return whole * dash + np.minimum(x - whole * period, dash)

    x = s - np.float32(stripe.phase)
    return ((painted(x + footprint / 2) - painted(x - footprint / 2)) / footprint).astype(np.float32)


def _wear(
    paint: Paint, number: int, side: NDArray[np.float32], s: NDArray[np.float32], footprint: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return where the paint is completely gone, and the remaining share elsewhere, which is always visible."""
    if paint.wear <= 0 and paint.missing <= 0:
        return np.zeros(s.shape, bool), np.ones_like(s)
    slow = noise(3, 0.9)[(paint.seed + 37 * number) % TILE]
    stretch = slow.take((s * np.float32(2.0)).astype(np.int32), mode="wrap")
    limit = np.quantile(slow, 1 - paint.missing) if paint.missing > 0 else 4.0
    gone = stretch > limit
    patchy = sample_nearest(noise(4, 0.55), side * 40 + 61 * number, (s % 1000) * 14)
    # far away single flakes blend into the mean
    patchy = patchy / (1 + footprint * 6) + 0.6 * stretch
    threshold = np.float32(1.9 - 2.6 * paint.wear)
    left = np.clip(1 - (patchy - threshold) * np.float32(0.9), 0.22, 1)
    left[gone] = 0
    return gone, left


def line_points(view: RoadView, cross_section: CrossSection, line: Line, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the line's middle inside the picture, (N, 2) pixel-centre coordinates from near to far.

    It ends where the line is too thin to be labelled or disappears behind a crest.
    """
    first, last = max(line.start, view.s - 5.0), min(line.stop, view.reach)
    if last - first < 1.0:
        return np.zeros((0, 2))
    lead = max(first - view.s, 0.0)
    ahead = np.geomspace(lead + 8.0, last - view.s + 8.0, _LINE_POINTS) - 8.0 if lead else _from_car(view, first, last)
    s = view.s + ahead
    u = line.offset + line.ride * cross_section.widening.at(s)
    points = view.to_world(s, u)
    wide = max(stripe.width for stripe in line.stripes) * view.pixels_per_metre(points)
    pixels = view.camera.project(points)
    # the thickness of a line that is nearly horizontal in the (unrolled) picture is its height
    dx, dy = np.gradient(pixels, axis=0).T
    cos, sin = np.cos(view.camera.roll), np.sin(view.camera.roll)
    level, steep = np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin)
    wide *= np.minimum(steep / np.maximum(level, 1e-9), 1.0)
    kept = view.visible(points) & (wide >= _THINNEST * _MARGIN)
    width, height = size
    kept &= (pixels >= -0.5).all(axis=1) & (pixels[:, 0] <= width - 0.5) & (pixels[:, 1] <= height - 0.5)
    index = np.flatnonzero(kept)
    if index.size < 2:
        return np.zeros((0, 2))
    # one unbroken run, so that the polyline does not jump across a part that a crest hides
    run = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)[0]
    long_enough = run.size >= 2 and float(np.ptp(pixels[run], axis=0).max()) >= _SHORTEST
    return pixels[run] if long_enough else np.zeros((0, 2))


def _from_car(view: RoadView, first: float, last: float) -> NDArray[np.float64]:
    far = np.geomspace(1.0, max(last - view.s, 2.0), _LINE_POINTS)
    return np.concatenate([np.arange(first - view.s, 1.0, 0.5), far]) if first < view.s else far

"""Objects on the road that are not lane lines: arrows, crossings, words, hatching, cracks, patches, tar, tyre marks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.canvas import fill, fixed
from lanecli.data.synth.cross_section import CrossSection
from lanecli.data.synth.lines import FOREVER
from lanecli.data.synth.road import RoadView

_SHIFT = 4
_BLOCK = 170.0  # metres of road whose damage is drawn together
_NEAREST = 1.2  # metres ahead of the camera at which shapes on the ground are clipped
_WORDS = ("SLOW", "STOP", "BUS", "SCHOOL", "ONLY", "30", "40", "60", "80", "TAXI", "KEEP", "CLEAR", "EXIT", "101")

_SHAFT = [(-0.08, 0.0), (0.08, 0.0)]
_ARROWS = {
    "straight": [[*_SHAFT, (0.08, 3.2), (0.38, 3.2), (0.0, 5.2), (-0.38, 3.2), (-0.08, 3.2)]],
    "left": [[*_SHAFT, (0.08, 3.4), (-0.45, 4.2), (-0.45, 5.0), (-1.0, 3.6), (-0.45, 2.4), (-0.45, 3.2), (-0.08, 2.6)]],
    "both": [
        [*_SHAFT, (0.08, 3.2), (0.38, 3.2), (0.0, 5.2), (-0.38, 3.2), (-0.08, 3.2)],
        [(0.08, 1.0), (0.45, 1.9), (0.45, 1.3), (0.95, 2.6), (0.45, 3.6), (0.45, 2.9), (0.08, 1.7)],
    ],
}


@dataclass(frozen=True)
class Shape:
    """A flat shape, painted or dark, with outlines (N, 2) of (u, s) and a strength of 0..255."""

    outlines: tuple[NDArray[np.float64], ...]
    strength: int
    yellow: bool = False


@dataclass(frozen=True)
class Trace:
    """A thin line that is not a marking: (N, 2) of (u, s), width in metres, darkness -255..255 (bright if below 0)."""

    path: NDArray[np.float64]
    width: float
    darkness: int


@dataclass(frozen=True)
class Word:
    """Letters painted on the road at (u, s)."""

    text: str
    u: float
    s: float
    width: float
    length: float
    strength: int


@dataclass(frozen=True)
class Distractors:
    """Everything flat on the road except the lane lines."""

    shapes: list[Shape] = field(default_factory=list)
    patches: list[Shape] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)


def make_distractors(
    rng: np.random.Generator, cross_section: CrossSection, length: float, plain: bool = False
) -> Distractors:
    """Choose at random what else is on the road over `length` metres."""
    result = Distractors()
    city = cross_section.region.endswith("city")
    width = cross_section.lane_width
    strength = int(rng.uniform(150, 250))
    for middle, direction in cross_section.lanes:
        lane = rng.spawn(1)[0]
        if lane.random() < (0.35 if city else 0.04) and not plain:
            for s in np.arange(lane.uniform(5, 40), length, lane.uniform(25, 80)):
                _symbol(lane, result, middle, float(s), direction, width, strength)
    if cross_section.crossing < FOREVER:
        _junction(rng, result, cross_section, strength)
    elif city and not plain and rng.random() < 0.12:
        _zebra(result, cross_section, float(rng.uniform(8, 60)), strength)
    if cross_section.widening.amount > 2 * width:
        _gore(result, cross_section, strength)
    if city and not plain and rng.random() < 0.08:
        _hatching(rng, result, cross_section, strength)
    # block by block, so that a longer road begins exactly like a shorter one
    for number, block in enumerate(rng.spawn(int(np.ceil(length / _BLOCK)))):
        _damage(block, result, cross_section, number * _BLOCK, plain)
    return result


def mirrored_distractors(distractors: Distractors) -> Distractors:
    """Mirror everything to the other side of the road."""
    flip = np.array([-1.0, 1.0])
    return Distractors(
        [replace(shape, outlines=tuple(outline * flip for outline in shape.outlines)) for shape in distractors.shapes],
        [replace(patch, outlines=tuple(outline * flip for outline in patch.outlines)) for patch in distractors.patches],
        [replace(trace, path=trace.path * flip) for trace in distractors.traces],
        [replace(word, u=-word.u) for word in distractors.words],
    )


def _symbol(
    rng: np.random.Generator, result: Distractors, u: float, s: float, direction: int, width: float, strength: int
) -> None:
    if rng.random() < 0.3:
        text = str(rng.choice(_WORDS))
        result.words.append(Word(text, u, s, width * 0.6, float(rng.uniform(2.0, 5.0)), strength))
        return
    flip = -1 if rng.random() < 0.5 else 1
    size = float(rng.uniform(0.8, 1.15))
    arrow = _ARROWS[str(rng.choice(list(_ARROWS)))]
    outlines = tuple(np.array(part) * [flip * size, direction * size] + [u, s] for part in arrow)
    result.shapes.append(Shape(outlines, strength))


def _rectangle(left: float, right: float, near: float, far: float) -> NDArray[np.float64]:
    return np.array([[left, near], [left, far], [right, far], [right, near]])


def _zebra(result: Distractors, cross_section: CrossSection, s: float, strength: int, length: float = 3.2) -> None:
    bars = np.arange(cross_section.left_edge + 0.3, cross_section.right_edge - 0.4, 1.0)
    outlines = tuple(_rectangle(float(u), float(u) + 0.48, s, s + length) for u in bars)
    result.shapes.append(Shape(outlines, strength))


def _junction(rng: np.random.Generator, result: Distractors, cross_section: CrossSection, strength: int) -> None:
    s = cross_section.crossing
    own = [u for u, direction in cross_section.lanes if direction > 0]
    half = cross_section.lane_width / 2
    stop = _rectangle(min(own) - half + 0.1, max(own) + half - 0.1, s - 0.1, s + float(rng.uniform(0.25, 0.5)))
    result.shapes.append(Shape((stop,), strength))
    if rng.random() < 0.65:
        _zebra(result, cross_section, s + float(rng.uniform(1, 2.5)), strength, float(rng.uniform(2.5, 5)))
    if rng.random() < 0.4:
        _zebra(result, cross_section, s + 17, strength, float(rng.uniform(2.5, 5)))


def _gore(result: Distractors, cross_section: CrossSection, strength: int) -> None:
    """Chevrons between the main road and an exit."""
    right = cross_section.right_edge
    for own in [
        line for line in cross_section.lines if line.ride == 0 and line.start > -FOREVER and line.style == "solid"
    ]:
        right = own.offset
        steps = np.arange(own.start, own.start + 60, 3.5)
        gap = cross_section.widening.at(steps) - cross_section.lane_width
        for s, g in zip(steps, gap, strict=True):
            if g > 1.0:
                mid = right + g / 2
                bar = np.array([[right + 0.2, s], [mid, s + g / 2], [right + g - 0.2, s]])
                outline = np.concatenate([bar, bar[::-1] + np.array([0.0, 0.8])])
                result.shapes.append(Shape((outline,), strength))


def _hatching(rng: np.random.Generator, result: Distractors, cross_section: CrossSection, strength: int) -> None:
    u = float(rng.uniform(cross_section.left_edge + 1, cross_section.right_edge - 2))
    start, wide = float(rng.uniform(5, 40)), float(rng.uniform(1.2, 2.6))
    bar = np.array([[u, 0.0], [u + wide, wide], [u + wide, wide + 0.5], [u, 0.5]])
    outlines = [bar + np.array([0.0, s]) for s in np.arange(start, start + rng.uniform(10, 30), 2.2)]
    result.shapes.append(Shape(tuple(outlines), strength, yellow=bool(rng.random() < 0.3)))


def _damage(
    rng: np.random.Generator, result: Distractors, cross_section: CrossSection, start: float, plain: bool
) -> None:
    """Patches, cracks, sealed joints and tyre marks."""
    left, right = cross_section.left_edge, cross_section.right_edge
    amount = float(rng.choice([0.1, 0.5, 1.5], p=[0.45, 0.35, 0.2])) * (0.3 if plain else 1.0)
    for _ in range(rng.poisson(3 * amount * _BLOCK / 100)):
        u, s = float(rng.uniform(left, right)), start + float(rng.uniform(2, _BLOCK))
        wide, tall = float(rng.uniform(0.5, 3.4)), float(rng.uniform(0.8, 14))
        patch = Shape((_rectangle(u - wide / 2, u + wide / 2, s, s + tall),), int(rng.normal(0, 45)))
        result.patches.append(patch)
        if rng.random() < 0.4:
            outline = np.concatenate([patch.outlines[0], patch.outlines[0][:1]])
            result.traces.append(Trace(_densify(outline), 0.05, int(rng.uniform(30, 120))))
    for _ in range(rng.poisson(7 * amount * _BLOCK / 100)):
        u, s = float(rng.uniform(left, right)), start + float(rng.uniform(2, _BLOCK))
        lengthways = rng.random() < 0.6
        count = int(rng.integers(8, 50))
        walk = np.cumsum(rng.normal(0, 0.12, (count, 2)), axis=0)
        run = np.arange(count) * 0.4
        direction = np.array([0.0, 1.0]) if lengthways else np.array([1.0, 0.0])
        path = np.array([u, s]) + walk + run[:, None] * direction
        path = path[(path[:, 0] > left) & (path[:, 0] < right)]
        if len(path) > 3:
            shade = int(rng.choice([110, 60, -40], p=[0.5, 0.4, 0.1]))
            result.traces.append(Trace(path, float(rng.uniform(0.012, 0.055)), shade))
    for _ in range(rng.poisson(0.8)):
        u = float(rng.uniform(left, right))
        along = start + np.arange(0, _BLOCK + 1, 4.0)
        drift = float(rng.normal(0, 0.004)) * (along - start)
        path = np.stack([u + drift + 0.04 * np.sin(along / 9), along], axis=1)
        shade = int(rng.choice([90, 50, -50, -90], p=[0.4, 0.3, 0.2, 0.1]))
        result.traces.append(Trace(path, float(rng.uniform(0.015, 0.07)), shade))
    for _ in range(rng.poisson(0.5 * amount * _BLOCK / 100)):
        middle = cross_section.lanes[int(rng.integers(len(cross_section.lanes)))][0]
        along = np.arange(0, rng.uniform(8, 40), 1.0) + start + rng.uniform(0, _BLOCK)
        bend = np.cumsum(np.cumsum(rng.normal(0, 0.004, along.size)))
        for wheel in (-0.75, 0.75):
            result.traces.append(
                Trace(np.stack([middle + wheel + bend, along], axis=1), 0.18, int(rng.uniform(20, 60)))
            )


def _densify(path: NDArray[np.float64], step: float = 1.5) -> NDArray[np.float64]:
    parts = []
    for a, b in pairwise(path):
        count = max(int(np.hypot(*(b - a)) / step), 1)
        parts.append(a + (b - a) * np.linspace(0, 1, count, endpoint=False)[:, None])
    return np.concatenate([*parts, path[-1:]])


def draw_shapes(view: RoadView, shapes: list[Shape], layer: NDArray[np.uint8], yellow: bool | None = None) -> None:
    """Fill shapes into an (H, W) uint8 layer with their absolute strength; `yellow` selects those of one colour."""
    for shape in shapes:
        if yellow is not None and shape.yellow != yellow:
            continue
        for outline in shape.outlines:
            pixels = ground_outline(view, outline)
            if pixels is not None:
                fill(layer, pixels, abs(shape.strength))


def ground_outline(view: RoadView, outline: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the outline (N, 2) of (u, s) in picture coordinates, or None if it is out of sight."""
    near, far = float(outline[:, 1].min()), float(outline[:, 1].max())
    if far < view.s + _NEAREST or near > min(view.s + 130, view.reach - 5):
        return None
    dense = _densify(np.concatenate([outline, outline[:1]])) if far - near > 8 else outline
    s = np.maximum(dense[:, 1], view.s + _NEAREST)
    points = view.to_world(s, dense[:, 0])
    points[:, 2] = np.maximum(points[:, 2], _NEAREST)
    if not view.visible(points).all():
        return None
    return view.camera.project(points)


def draw_trace(view: RoadView, trace: Trace, layer: NDArray[np.uint8]) -> None:
    """Draw a thin line into an (H, W) uint8 layer, fainter if it is thinner than a pixel."""
    path = trace.path
    path = path[(path[:, 1] > view.s + _NEAREST) & (path[:, 1] < min(view.s + 120, view.reach - 5))]
    if len(path) < 2:
        return
    points = view.to_world(path[:, 1], path[:, 0])
    points = points[view.visible(points)]
    if len(points) < 2:
        return
    wide = trace.width * view.pixels_per_metre(points)
    pixels = view.camera.project(points)
    ahead = np.gradient(pixels, axis=0)
    ahead /= np.maximum(np.hypot(ahead[:, 0], ahead[:, 1]), 1e-6)[:, None]
    # at a slant, a line across the view is foreshortened
    half = wide / 2 * (np.abs(ahead[:, 1]) + 0.25)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) * half[:, None]
    near, far = fixed(pixels + side), fixed(pixels - side)
    chain = fixed(pixels)
    for i in range(len(chain) - 1):
        w = float(half[i] * 2)
        if w < 0.15:
            break
        if w > 1.5:
            piece = np.stack([near[i], near[i + 1], far[i + 1], far[i]])
            cv2.fillPoly(layer, [piece], abs(trace.darkness), cv2.LINE_8, _SHIFT)
            continue
        value = abs(trace.darkness) * min(w, 1.0)
        cv2.line(layer, chain[i].tolist(), chain[i + 1].tolist(), value, 1, cv2.LINE_AA, _SHIFT)


def draw_word(view: RoadView, word: Word, layer: NDArray[np.uint8]) -> None:
    """Warp letters onto the ground in an (H, W) uint8 layer."""
    if not view.s + 2.5 < word.s < view.s + 60:
        return
    (w, h), _ = cv2.getTextSize(word.text, cv2.FONT_HERSHEY_SIMPLEX, 1.6, 6)
    picture = np.zeros((h + 12, w + 12), np.uint8)
    cv2.putText(picture, word.text, (6, h + 4), cv2.FONT_HERSHEY_SIMPLEX, 1.6, word.strength, 6, cv2.LINE_AA)
    half = word.width / 2
    corners = view.to_world(
        np.array([word.s + word.length] * 2 + [word.s] * 2), word.u + np.array([-half, half, half, -half])
    )
    if not view.visible(corners).all():
        return
    pixels = view.camera.project(corners)
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 1, layer.shape[::-1])
    if (high - low).min() < 2:
        return
    ph, pw = picture.shape
    source = np.array([[0, 0], [pw, 0], [pw, ph], [0, ph]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(source, (pixels - low).astype(np.float32))
    drawn = cv2.warpPerspective(picture, matrix, (int(high[0] - low[0]), int(high[1] - low[1])))
    target = layer[low[1] : high[1], low[0] : high[0]]
    np.maximum(target, drawn, out=target)

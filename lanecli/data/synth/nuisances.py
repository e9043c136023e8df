"""Nuisances that networks mistake for lane lines: feet of barriers, sealed joints, bonnet highlights, lamps, a wiper.

They have a random stream of their own, so that they do not change anything else in a scene.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.cross_section import CrossSection
from lanecli.data.synth.distractors import Trace
from lanecli.data.synth.light import Light
from lanecli.data.synth.scenery import Scenery

_REACH = 170.0  # metres of road with nuisances
_RAISED = ("concrete",)  # textures of walls that stand on the road


@dataclass(frozen=True)
class Nuisances:
    """The nuisances of a scene.

    Attributes:
        traces: thin lines on the ground that are not markings.
        highlight: brightness (0..255) and thickness (share of the height) of the bonnet's edge; 0 for none.
        reflections: x, y, length, width (shares of the bonnet), angle in radians, and brightness of each reflection on
            the bonnet.
        vents: number of rows of short dashes on the dashboard.
        lamps: x, y, width, height (shares of the picture), and brightness of each lamp head in the dark sky.
        wiper: x and y of its foot, angle and thickness (share of the height) of the wiper, or None.
        fade: share of the paint's opacity that remains on pale concrete.
    """

    traces: tuple[Trace, ...] = ()
    highlight: tuple[float, float] = (0.0, 0.0)
    reflections: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 6)))
    vents: int = 0
    lamps: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 5)))
    wiper: tuple[float, float, float, float] | None = None
    fade: float = 1.0


def make_nuisances(rng: np.random.Generator, cross_section: CrossSection, scenery: Scenery, light: Light) -> Nuisances:
    """Choose the nuisances of a still picture at random."""
    traces: list[Trace] = []
    for wall in scenery.walls:
        if wall.texture in _RAISED and wall.low < 0.3 and rng.random() < 0.55:
            traces += _foot(rng, wall.u)
    for edge in (cross_section.left_edge, cross_section.right_edge):
        if rng.random() < 0.2:
            traces += _foot(rng, edge)
    for _ in range(rng.poisson(1.2)):  # sealed joints between paving runs, straight and long
        u = float(rng.uniform(cross_section.left_edge, cross_section.right_edge))
        along = np.arange(0, _REACH, 2.5)
        path = np.stack([u + 0.02 * np.sin(along / 7 + u), along], axis=1)
        shade = int(rng.choice([120, 80, -60, -110], p=[0.45, 0.25, 0.15, 0.15]))
        traces.append(Trace(path, float(rng.uniform(0.03, 0.12)), shade))
    bright = float(rng.uniform(120, 255)) if rng.random() < 0.4 else 0.0
    glints = int(rng.integers(1, 7)) if rng.random() < 0.4 else 0
    reflections = rng.random((glints, 6)) * [1, 0.8, 0.35, 0.06, np.pi, 200] + [0, 0.1, 0.03, 0.01, 0, 40]
    lamps = np.empty((0, 5))
    if light.night and rng.random() < 0.7:
        count = int(rng.integers(1, 8))
        lamps = rng.random((count, 5)) * [1, 0.4, 0.05, 0.012, 120] + [0, 0.0, 0.006, 0.003, 135]
    wiper = None
    if light.wet > 0.2 and rng.random() < 0.25:
        foot = (float(rng.uniform(0.1, 0.9)), 1.02, float(rng.normal(0, 0.7)), float(rng.uniform(0.008, 0.03)))
        wiper = foot
    fade = float(rng.uniform(0.3, 0.75)) if rng.random() < 0.5 else 1.0
    return Nuisances(
        tuple(traces),
        (bright, float(rng.uniform(0.002, 0.012))),
        reflections,
        int(rng.integers(2, 6)) if rng.random() < 0.2 else 0,
        lamps,
        wiper,
        fade,
    )


def _foot(rng: np.random.Generator, u: float) -> list[Trace]:
    """Return traces for the foot of a barrier: a pale, uneven strip with gaps, and a dark one beside it."""
    inwards = -np.sign(u) if u else 1.0
    along = np.arange(0, _REACH, 1.5)
    wobble = np.cumsum(rng.normal(0, 0.012, along.size))
    wobble -= np.linspace(wobble[0], wobble[-1], along.size)
    pale, wide = -int(rng.uniform(40, 170)), float(rng.uniform(0.06, 0.3))
    at = u + inwards * float(rng.uniform(0.02, 0.25))
    traces = []
    start = 0
    while start < along.size:  # pieces of it, with gaps
        stop = start + int(rng.integers(4, 60))
        piece = slice(start, min(stop, along.size))
        traces.append(Trace(np.stack([at + wobble[piece], along[piece]], axis=1), wide, pale))
        start = stop + (int(rng.integers(0, 8)) if rng.random() < 0.5 else 0)
    if rng.random() < 0.5:
        path = np.stack([at + inwards * wide + wobble, along], axis=1)
        traces.append(Trace(path, float(rng.uniform(0.05, 0.2)), int(rng.uniform(30, 130))))
    return traces


def draw_on_bonnet(lit: NDArray[np.float32], cover: NDArray[np.uint8], nuisances: Nuisances) -> None:
    """Draw a bright edge, reflections and vents on the own car.

    Args:
        lit: (H, W, 3) float32 light, modified in place.
        cover: (H, W) uint8, above 0 on the own car.
        nuisances: the nuisances.
    """
    height, width = cover.shape
    own = cover > 127
    if not own.any():
        return
    rows = np.flatnonzero(own.any(1))
    top, tall = int(rows[0]), max(height - int(rows[0]), 1)
    layer = np.zeros((height, width), np.uint8)
    if nuisances.highlight[0]:
        thick = max(1, round(nuisances.highlight[1] * height))
        edge = cv2.morphologyEx(cover, cv2.MORPH_GRADIENT, np.ones((2 * thick + 1, 1), np.uint8))
        layer = np.asarray(np.minimum(edge, nuisances.highlight[0]), np.uint8)
    for x, y, length, wide, angle, bright in nuisances.reflections:
        middle = (int(x * width), int(top + y * tall))
        axes = (max(1, int(length * width / 2)), max(1, int(wide * tall / 2)))
        cv2.ellipse(layer, middle, axes, float(np.degrees(angle) % 30 - 15), 0, 360, float(bright), -1, cv2.LINE_AA)
    for row in range(nuisances.vents):
        y = int(top + tall * (0.25 + 0.12 * row))
        for x in range(0, width, max(6, width // 40)):
            cv2.line(layer, (x, y), (x + width // 80, y), 110 if row % 2 else 70, max(1, tall // 40))
    strength = cv2.GaussianBlur(layer, (0, 0), max(0.6, width / 700)).astype(np.float32) * own
    level = min(float(lit[: max(top, 1)].mean()) / 110, 1.3)
    lit += (strength * np.float32(level))[..., None]


def draw_in_front(lit: NDArray[np.float32], mask: NDArray[np.uint8], nuisances: Nuisances) -> None:
    """Draw lamp heads with their glow, and the wiper, which also hides the mask behind it; both in place."""
    height, width = mask.shape
    if len(nuisances.lamps):
        layer = np.zeros((height, width), np.uint8)
        for x, y, w, h, bright in nuisances.lamps:
            centre, axes = (int(x * width), int(y * height)), (max(1, int(w * width / 2)), max(1, int(h * height / 2)))
            cv2.ellipse(layer, centre, axes, 0, 0, 360, float(bright), -1, cv2.LINE_AA)
        glow = cv2.GaussianBlur(layer, (0, 0), width / 60).astype(np.float32) * 2
        lit += (layer + glow)[..., None] * np.array([1.0, 0.93, 0.78], np.float32)
    if nuisances.wiper is not None:
        x, y, angle, thick = nuisances.wiper
        foot = np.array([x * width, y * height])
        tip = foot + height * 0.9 * np.array([np.sin(angle), -np.cos(angle)])
        blade = np.zeros((height, width), np.uint8)
        ends = [tuple(int(v) for v in point) for point in (foot, tip)]
        cv2.line(blade, ends[0], ends[1], 255, max(2, round(thick * height)), cv2.LINE_AA)
        lit *= 1 - blade[..., None] * np.float32(0.85 / 255)
        mask[blade > 127] = 0

"""The appearance of the ground: materials across the road, their textures, and their variation along it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.cross_section import CrossSection
from lanecli.data.synth.lines import FOREVER
from lanecli.data.synth.road import GroundMap
from lanecli.data.synth.textures import noise, sample, sample_nearest

_CELL = 0.025  # metres per entry of the cross-section table
_HALF = 100.0  # metres to either side that the table covers
_BLURS = (1, 9, 61)  # number of entries that are averaged at each level of the table
_FINE_REACH = 26.0  # metres ahead up to which single stones are visible


@dataclass(frozen=True)
class Ground:
    """The appearance of the ground in a world.

    Attributes:
        table: (levels, entries, 3) colours across the road, with increasing blur.
        rough: (entries,) strength of the texture across the road.
        grain: strength of single stones on the road.
        mottle: strength of blotches.
        joints: metres between the transverse joints of a concrete road, or 0 for none.
        drift: strength of the slow change of brightness along the road.
        seed: selects the part of the noise that is used.
    """

    table: NDArray[np.float32]
    rough: NDArray[np.float32]
    grain: float
    mottle: float
    joints: float
    drift: float
    seed: int


def make_ground(rng: np.random.Generator, cross_section: CrossSection) -> Ground:
    """Choose the appearance of the ground for a cross-section at random."""
    concrete = cross_section.region == "us_highway" and rng.random() < 0.35
    grey = float(rng.uniform(138, 178) if concrete else np.exp(rng.uniform(np.log(58), np.log(132))))
    warm = float(rng.uniform(0.98, 1.07) if concrete else rng.uniform(0.95, 1.04))
    road = np.array([grey * warm, grey, grey * (2.03 - warm)], np.float32)
    new_shoulder = float(rng.choice([1.0, rng.uniform(0.6, 0.95), rng.uniform(1.05, 1.4)], p=[0.4, 0.35, 0.25]))
    stone = float(rng.uniform(0.85, 1.2))
    colours = {
        "asphalt": (road, 1.0),
        "shoulder": (road * new_shoulder, 1.2),
        "gutter": (np.array([150, 147, 140]) * stone, 1.0),
        "kerb": (np.array([165, 162, 155]) * stone, 1.2),
        "pavement": (np.array([142, 136, 128]) * float(rng.uniform(0.7, 1.2)), 1.2),
        "gravel": (np.array([160, 148, 126]) * float(rng.uniform(0.7, 1.2)), 2.4),
        "grass": (np.array([94, 108, 52]) * float(rng.uniform(0.7, 1.25)), 3.0),
        "dry": (np.array([186, 160, 108]) * float(rng.uniform(0.8, 1.15)), 2.6),
        "soil": (np.array([96, 84, 64]) * float(rng.uniform(0.7, 1.2)), 3.0),
        "snow": (np.array([224, 228, 234]) * float(rng.uniform(0.85, 1.0)), 1.0),
    }
    entries = int(2 * _HALF / _CELL)
    at = (np.arange(entries) + 0.5) * _CELL - _HALF
    table = np.tile(road, (entries, 1)).astype(np.float32)
    rough = np.ones(entries, np.float32)
    for strip in cross_section.strips:
        inside = (at >= strip.left) & (at < strip.right)
        colour, strength = colours[strip.material]
        table[inside], rough[inside] = colour, strength
    _wheel_tracks(rng, cross_section, at, table, concrete)
    levels = np.stack([cv2.blur(table, (1, k), borderType=cv2.BORDER_REPLICATE) for k in _BLURS])
    return Ground(
        levels,
        rough,
        float(np.exp(rng.uniform(np.log(0.02), np.log(0.13)))),
        float(np.exp(rng.uniform(np.log(0.012), np.log(0.06)))),
        float(rng.uniform(4.5, 7.5)) if concrete else 0.0,
        float(rng.uniform(0.0, 0.08)),
        int(rng.integers(1000)),
    )


def _wheel_tracks(
    rng: np.random.Generator,
    cross_section: CrossSection,
    at: NDArray[np.floating],
    table: NDArray[np.float32],
    concrete: bool,
) -> None:
    """Add polished wheel tracks, oil between them, and seams between strips of paving, to the table."""
    oil = float(rng.uniform(-0.16, 0.02) * (1.6 if concrete else 1.0))
    polish = float(rng.uniform(-0.08, 0.12))
    seam_strength = float(rng.uniform(-0.45, 0.2)) if rng.random() < (0.8 if concrete else 0.45) else 0.0
    seam_shift = float(rng.uniform(-0.35, 0.35)) if rng.random() < 0.6 else 0.0
    factor = np.ones(at.size)
    for middle, _ in cross_section.lanes:
        lane_tone = float(rng.normal(0, 0.035))
        x = at - middle
        inside = np.abs(x) < cross_section.lane_width / 2
        track = polish * (np.exp(-(((np.abs(x) - 0.78) / 0.28) ** 2)) - 0.4)
        factor[inside] *= (1 + lane_tone + track + oil * np.exp(-((x / 0.4) ** 2)))[inside]
        if seam_strength:
            edge = np.abs(x - cross_section.lane_width / 2 - seam_shift) < 0.02
            factor[edge] *= 1 + seam_strength
    table *= factor[:, None].astype(np.float32)


def paint_ground(
    ground: GroundMap, looks: Ground, cross_section: CrossSection, widening: NDArray[np.float32] | None, car_s: float
) -> NDArray[np.float32]:
    """Return the colour of every ground pixel in even light, (h, W, 3) float32."""
    u, s = ground.u, ground.s
    across = u
    if widening is not None:
        inner = np.float32(cross_section.right_edge - 3 if cross_section.sign > 0 else cross_section.left_edge + 3)
        if cross_section.sign > 0:
            across = np.where(u > inner, np.maximum(inner, u - widening), u)
        else:
            across = np.where(u < inner, np.minimum(inner, u + widening), u)
    footprint = ground.u_across + ground.u_down
    slow_x, slow_y = u * np.float32(4.0), s * np.float32(2.2)
    slow_x += looks.seed
    blotch = sample(noise(1, 1.25), slow_x, slow_y)
    ragged = across + blotch * np.float32(0.12) * (np.abs(across) > _paved_half(cross_section))
    index = ((ragged + np.float32(_HALF)) * np.float32(1 / _CELL)).astype(np.int32)
    np.clip(index, 0, looks.rough.size - 1, out=index)
    rough = looks.rough.take(index)
    if cross_section.crossing < FOREVER:
        middle = looks.rough.size // 2
        junction = (s > cross_section.crossing + 3.5) & (s < cross_section.crossing + 15)
        index[junction], rough[junction] = middle + 30, 1.0
    level = (footprint > 0.12).astype(np.int32)
    level += footprint > 0.9
    level *= looks.rough.size
    index += level
    colour = looks.table.reshape(-1, 3).take(index, axis=0)

    tone = blotch * np.float32(looks.mottle)
    broad = sample(noise(2, 1.1, 4.0), u * np.float32(1.1) + looks.seed, s * np.float32(0.55))
    tone += broad * np.float32(looks.mottle * 0.8)
    tone *= rough
    _add_grain(tone, ground, looks, rough, car_s)
    if looks.joints:
        tone -= np.float32(0.28) * _joint(s, looks.joints, ground.s_down)
    tone += 1
    np.maximum(tone, 0.15, out=tone)
    colour *= tone[..., None]
    return colour


def _paved_half(cross_section: CrossSection) -> np.float32:
    return np.float32(min(abs(cross_section.left_edge), abs(cross_section.right_edge)) + 0.6)


def _add_grain(
    tone: NDArray[np.float32], ground: GroundMap, looks: Ground, rough: NDArray[np.float32], car_s: float
) -> None:
    """Add single stones where they are large enough to be visible."""
    near = np.flatnonzero(((ground.z < _FINE_REACH) & ground.seen).any(axis=1))
    if near.size == 0:
        return
    rows = slice(int(near[0]), None)
    base = np.float32(np.floor(car_s / 100) * 100)
    stones = sample_nearest(noise(5, 0.35), ground.u[rows] * 55 + 20000, (ground.s[rows] - base) * 30 + 20000)
    fade = np.clip(1 - ground.z[rows] * np.float32(1 / _FINE_REACH), 0, 1)
    tone[rows] += stones * fade * rough[rows] * np.float32(looks.grain * 0.7)
    coarse = sample_nearest(noise(6, 0.6), ground.u * 12 + 20000, (ground.s - base) * 5 + 20000)
    tone += coarse * rough * np.float32(looks.grain * 0.3) / (1 + ground.s_down)


def _joint(s: NDArray[np.float32], period: float, footprint: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the coverage of each pixel by joints, which are 3 cm wide, across the road."""
    x = s * np.float32(1 / period)
    x -= np.floor(x)
    distance = np.minimum(x, 1 - x) * np.float32(period)
    footprint = np.maximum(footprint, np.float32(1e-3))
    return np.clip((0.015 + footprint / 2 - distance) / footprint, 0, np.minimum(1, 0.03 / footprint))

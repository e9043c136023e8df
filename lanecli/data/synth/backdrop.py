"""Sky, clouds, hills, distant woods and skylines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.camera import Camera
from lanecli.data.synth.canvas import fill
from lanecli.data.synth.light import Light
from lanecli.data.synth.textures import TILE, noise, sample

_FAR = 1000.0
_RADIANS_TO_TEXELS = TILE / (2 * np.pi)


@dataclass(frozen=True)
class Ridge:
    """A silhouette along the horizon in one colour, whose elevation (as a slope) is `base` plus noise."""

    base: float
    swing: float
    roughness: float
    detail: float
    colour: tuple[float, float, float]
    blocks: bool
    row: int


@dataclass(frozen=True)
class Backdrop:
    """The silhouettes at the horizon, from far to near, and the seed of the clouds' position."""

    ridges: tuple[Ridge, ...]
    cloud_seed: int


def make_backdrop(rng: np.random.Generator, region: str) -> Backdrop:
    """Choose the silhouettes and clouds for a region at random."""
    ridges = []
    if rng.random() < (0.25 if region.endswith("city") else 0.65):
        shade = rng.uniform(0.8, 1.2)
        hill = (np.array([98, 108, 116]) if rng.random() < 0.6 else np.array([132, 116, 88])) * shade
        ridges.append(
            Ridge(float(rng.uniform(0, 0.05)), float(rng.uniform(0.01, 0.045)), 1.5, 0.0, tuple(hill), False, 10)
        )
    if region.endswith("city") and rng.random() < 0.8:
        grey = tuple(np.array([120, 122, 126]) * rng.uniform(0.6, 1.3))
        ridges.append(Ridge(float(rng.uniform(0, 0.03)), float(rng.uniform(0.01, 0.045)), 0.2, 0.0, grey, True, 20))
    if rng.random() < 0.85:
        green = tuple(np.array([58, 68, 44]) * rng.uniform(0.6, 1.4))
        ridges.append(Ridge(float(rng.uniform(0.0, 0.035)), 0.008, 0.9, 0.006, green, False, 30))
    shifted = int(rng.integers(0, 60))
    ridges = [Ridge(r.base, r.swing, r.roughness, r.detail, r.colour, r.blocks, r.row + shifted) for r in ridges]
    return Backdrop(tuple(ridges), int(rng.integers(TILE)))


def paint_backdrop(
    image: NDArray[np.uint8],
    camera: Camera,
    rays: tuple[NDArray[np.float32], NDArray[np.float32]],
    backdrop: Backdrop,
    light: Light,
    azimuth: float,
    rows: int,
    drift: float,
) -> None:
    """Paint the upper `rows` rows of the picture; `azimuth` is the camera's direction, and `drift` moves the clouds."""
    # the sky is smooth, so every second pixel is enough
    across, down = rays[0][:rows:2, ::2], rays[1][:rows:2, ::2]
    rise = -(down * np.float32(1 / camera.focal) + np.float32(np.tan(camera.pitch)))
    np.maximum(rise, 0.0, out=rise)
    blend = (rise / (rise + np.float32(0.22)))[..., None]
    zenith, horizon = np.array(light.zenith, np.float32), np.array(light.horizon, np.float32)
    sky = horizon + (zenith - horizon) * (blend * np.float32(1.25))
    if light.clouds > 0.02:
        scale = np.float32(42.0) / (rise + np.float32(0.16))
        x = across * np.float32(1 / camera.focal) + np.float32(azimuth)
        field = sample(
            noise(30, 1.6), x * scale + np.float32(TILE * 8 + backdrop.cloud_seed + drift), scale * np.float32(2.0)
        )
        cover = np.clip((field - np.float32(1.3 - 2.4 * light.clouds)) * np.float32(0.55), 0, 0.9)
        cover *= np.clip(rise * 9, 0, 1)
        white = np.minimum(horizon.mean() * np.float32(1.22), 250) * (1.06 - 0.13 * np.clip(cover * 2, 0, 2))[..., None]
        sky += (white - sky) * cover[..., None]
    small = np.clip(sky, 0, 255).astype(np.uint8)
    image[:rows] = cv2.resize(small, (image.shape[1], rows), interpolation=cv2.INTER_LINEAR)
    level = np.array(light.tint) * min(light.level * 1.05, 1.0)
    for number, ridge in enumerate(backdrop.ridges):
        _paint_ridge(image, camera, ridge, light, level, azimuth, number, len(backdrop.ridges))


def _paint_ridge(
    image: NDArray[np.uint8],
    camera: Camera,
    ridge: Ridge,
    light: Light,
    level: NDArray[np.float64],
    azimuth: float,
    number: int,
    count: int,
) -> None:
    half = np.arctan(camera.size[0] / 2 / camera.focal) * 1.35
    turns = np.linspace(-half, half, 420)
    texel = (turns + azimuth) * _RADIANS_TO_TEXELS * 1.5
    first = np.floor(texel).astype(int)
    t = texel - first
    if ridge.blocks:
        row = noise(31, ridge.roughness)[ridge.row]
        value = row[(np.floor(texel * 0.4)).astype(int) % TILE]
    else:
        row = noise(32, ridge.roughness)[ridge.row]
        value = row[first % TILE] * (1 - t) + row[(first + 1) % TILE] * t
    slope = ridge.base + ridge.swing * value
    if ridge.detail:
        fine = noise(33, 0.7)[ridge.row]
        slope = slope + ridge.detail * fine[np.floor(texel * 7).astype(int) % TILE]
    slope = np.maximum(slope, -0.004)
    x, z = _FAR * np.sin(turns), _FAR * np.cos(turns)
    top = camera.project(np.stack([x, camera.height + slope * z, z], axis=1))
    low = camera.project(np.stack([x, camera.height - 0.12 * z, z], axis=1))
    air = np.clip(0.62 - 0.26 * number if count > 1 else 0.3, 0.08, 1) * (1.4 if light.haze < 800 else 1.0)
    mist = np.array(light.haze_colour)
    colour = np.array(ridge.colour) * level
    colour += (mist - colour) * min(air, 1.0)
    fill(image, np.concatenate([top, low[::-1]]), tuple(colour.tolist()))

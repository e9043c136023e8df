"""Effects between surfaces and the lens: lamplight, haze, the glow of lamps, and reflections on a wet road."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.canvas import Canvas, Colour
from lanecli.data.synth.light import Light
from lanecli.data.synth.road import GroundMap, RoadView
from lanecli.data.synth.scenery import Pole

_STEP = 2  # lamplight is computed on every second pixel
_LAMP_POOL = 9.0  # metres


def light_up(
    canvas: Canvas,
    view: RoadView,
    ground: GroundMap,
    rays: tuple[NDArray[np.float32], NDArray[np.float32]],
    light: Light,
    lamps: list[Pole],
) -> NDArray[np.float32]:
    """Return the light that reaches the lens, (H, W, 3) float32; sky pixels (infinite depth) stay as painted."""
    lit = canvas.image.astype(np.float32)
    tint = np.array(light.tint, np.float32) * np.float32(light.level)
    if light.night:
        lit *= _lamplight(canvas, view, ground, rays, light, lamps, tint)
    elif (tint != 1).any():
        factor = np.where(_sky(canvas)[..., None], np.float32(1), tint)
        lit *= factor
    if light.haze < 2000:
        clear = np.exp(canvas.depth * np.float32(-1 / light.haze))
        if light.haze >= 400:
            # the sky keeps its own colour in thin haze
            clear[np.isinf(canvas.depth)] = 1.0
        mist = np.array(light.haze_colour, np.float32)
        lit -= mist
        lit *= clear[..., None]
        lit += mist
    if canvas.lights:
        _glow(lit, canvas, light)
    return lit


def _sky(canvas: Canvas) -> NDArray[np.bool_]:
    """Return (H, W) bool: sky at least a pixel away from everything else, since antialiased outlines are not sky."""
    return cv2.erode(np.isinf(canvas.depth).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _lamplight(
    canvas: Canvas,
    view: RoadView,
    ground: GroundMap,
    rays: tuple[NDArray[np.float32], NDArray[np.float32]],
    light: Light,
    lamps: list[Pole],
    ambient: NDArray[np.float32],
) -> NDArray[np.float32]:
    height, width = canvas.depth.shape
    depth = np.minimum(canvas.depth[::_STEP, ::_STEP], 1e4)
    across = rays[0][::_STEP, ::_STEP] / np.float32(canvas.camera.focal)
    down = rays[1][::_STEP, ::_STEP] / np.float32(canvas.camera.focal) + np.float32(np.tan(canvas.camera.pitch))
    # low beam: wide and near, with little light above the cut-off
    beam = np.exp(-((across + 0.04) ** 2) / np.float32(0.16))
    beam /= 1 + (depth / 26) ** 2
    beam *= np.clip((depth - 2.0) / 5, 0.12, 1)
    beam *= np.clip((down + 0.035) * 22, 0.06, 1)
    beam *= np.float32(light.headlight)
    warm = np.array([1.04, 1.0, 0.9], np.float32)
    total = ambient + beam[..., None] * warm
    if light.lamps > 0:
        pools = np.zeros_like(depth)
        top = -(-ground.top // _STEP)
        first = top * _STEP - ground.top
        u, s = ground.u[first::_STEP, ::_STEP], ground.s[first::_STEP, ::_STEP]
        for lamp in lamps:
            if view.s - 20 < lamp.s < view.s + 150:
                away = (u - np.float32(lamp.u + lamp.reach)) ** 2 + (s - np.float32(lamp.s)) ** 2
                pools[top:] += 1 / (1 + away * np.float32(1 / _LAMP_POOL**2)) ** 2
        pools[:top] = 0.18
        total += (pools * np.float32(light.lamps) + np.float32(light.lamps * 0.12))[..., None] * np.array(
            light.lamp_tint, np.float32
        )
    total = cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR)
    total[_sky(canvas)] = 1.0
    return total


def _glow(lit: NDArray[np.float32], canvas: Canvas, light: Light) -> None:
    """Add the light sources of the canvas, each with a soft halo."""
    height, width = lit.shape[:2]
    scale = 4
    small = np.zeros((-(-height // scale), -(-width // scale), 3), np.float32)
    sharp = np.zeros((height, width, 3), np.uint8)
    bright = 1.0 if light.night else 0.35
    for x, y, radius, colour in canvas.lights:
        if not (-width < x < 2 * width and -height < y < 2 * height):
            continue
        size = max(radius, 0.7)
        power = bright * min(radius / 0.7, 1.0) * 255
        centre = (round(x * 16), round(y * 16))
        cv2.circle(sharp, centre, round(size * 16), _scaled(colour, power * 1.3), -1, cv2.LINE_AA, 4)
        halo = (round(x * 16 / scale), round(y * 16 / scale))
        cv2.circle(
            small, halo, round(max(size * 1.8 / scale, 0.8) * 16), _scaled(colour, power * 0.9), -1, cv2.LINE_8, 4
        )
    sigma = width / scale / 90
    soft = cv2.GaussianBlur(small, (0, 0), sigma) * 1.2 + cv2.GaussianBlur(small, (0, 0), sigma * 4) * 2.2
    lit += cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    lit += sharp


def _scaled(colour: Colour, power: float) -> Colour:
    return (colour[0] * power, colour[1] * power, colour[2] * power)


def reflect(
    lit: NDArray[np.float32], canvas: Canvas, view: RoadView, ground: GroundMap, light: Light, paved: NDArray[np.bool_]
) -> None:
    """Reflect what is above the horizon in the wet road, smeared vertically."""
    height, width = lit.shape[:2]
    horizon = view.horizon_row + canvas.camera.centre[1]
    small = cv2.resize(lit, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    rows = np.clip((2 * horizon - np.arange(ground.top, height)) / 4, 0, small.shape[0] - 1).astype(np.int32)
    mirrored = cv2.blur(small, (3, max(height // 40, 3)))[rows]
    mirrored = cv2.resize(mirrored, (width, height - ground.top), interpolation=cv2.INTER_LINEAR)
    grazing = 0.08 + 0.55 * np.clip(ground.z / 50, 0, 1)
    strength = light.wet * grazing * (paved & (canvas.cover[ground.top :] == 0))
    target = lit[ground.top :]
    target *= (1 - 0.45 * strength)[..., None]
    target += mirrored * (0.75 * strength)[..., None]

"""The lens and the sensor: bonnet, glare, vignetting, exposure, colour, blur, noise and compression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.canvas import fill
from lanecli.data.synth.light import Light
from lanecli.data.synth.nuisances import Nuisances, draw_on_bonnet
from lanecli.data.synth.textures import TILE, noise

_QUANTILES = 256


@dataclass(frozen=True)
class Sensor:
    """The properties of a dash camera, its lens, and what is in front of it.

    Attributes:
        gain: exposure factor.
        gamma: exponent applied after the gain.
        black: raised black level, 0..255.
        balance: white balance (R, G, B).
        saturation: saturation; 1 does not change colours.
        vignette: share of the light that is lost in the corners.
        noise: standard deviation of the sensor's noise, for values of 0..255.
        blur: sigma of the defocus blur at a width of 960 pixels.
        motion: length of the vertical motion blur at a width of 960 pixels.
        sharpen: strength of the camera's own sharpening.
        quality: JPEG quality, or 0 for no compression.
        bonnet: height of the own bonnet or dashboard as a share of the picture, or 0 for none.
        bonnet_shape: curvature, sideways shift, brightness and share of reflection.
        veil: strength of the dashboard's reflection in the windscreen.
        drops: number of drops on the windscreen.
    """

    gain: float
    gamma: float
    black: float
    balance: tuple[float, float, float]
    saturation: float
    vignette: float
    noise: float
    blur: float
    motion: float
    sharpen: float
    quality: int
    bonnet: float
    bonnet_shape: tuple[float, float, float, float]
    veil: float
    drops: int


def make_sensor(rng: np.random.Generator, light: Light, plain: bool = False) -> Sensor:
    """Choose a camera at random; `plain` gives a good camera with nothing in front of it."""
    bonnet = float(rng.uniform(0.05, 0.24)) if rng.random() < 0.42 and not plain else 0.0
    shape = (
        float(rng.uniform(0.0, 0.25)), float(rng.uniform(-0.15, 0.15)),
        float(np.exp(rng.uniform(np.log(6), np.log(120)))), float(rng.uniform(0.0, 0.5)),
    )  # fmt: skip
    warm = float(rng.normal(0, 0.045))
    green = float(rng.normal(0, 0.02))
    if plain:
        return Sensor(
            1.0, 1.0, 0.0, (1 + warm * 0.3, 1.0, 1 - warm * 0.3), 1.1, 0.05, 1.2, 0.0, 0.0, 0.0, 0, 0.0, shape, 0.0, 0
        )
    night = light.night
    gain = float(np.exp(rng.normal(-0.06, 0.3)))
    if not night:
        # the camera's own exposure makes up for most of a dull day
        gain *= light.level**-0.75
    # an under-exposed road under a bright sky is common where the camera meters the sky
    if rng.random() < 0.1 and not night:
        gain *= 0.55
    wet = light.wet > 0.2
    return Sensor(
        gain=float(np.clip(gain, 0.35, 2.2)),
        gamma=float(np.exp(rng.normal(0.0, 0.15))),
        black=float(rng.uniform(0, 22) if rng.random() < 0.3 else rng.uniform(0, 5)),
        balance=(1 + warm, 1 + green, 1 - warm),
        saturation=float(rng.uniform(0.55, 1.45)),
        vignette=float(rng.uniform(0, 0.4) if rng.random() < 0.6 else 0.0),
        noise=float(np.exp(rng.uniform(np.log(0.8), np.log(9.0 if night else 5.0)))),
        blur=float(max(rng.normal(0.35, 0.45), 0.0)),
        motion=float(max(rng.normal(-2, 3), 0.0)),
        sharpen=float(max(rng.normal(0, 0.5), 0.0)),
        quality=int(rng.integers(30, 95)) if rng.random() < 0.45 else 0,
        bonnet=bonnet,
        bonnet_shape=shape,
        veil=float(rng.uniform(0, 0.16)) if rng.random() < 0.25 else 0.0,
        drops=int(rng.integers(5, 60)) if wet and rng.random() < 0.5 else 0,
    )


def draw_bonnet(
    lit: NDArray[np.float32], mask: NDArray[np.uint8], sensor: Sensor, nuisances: Nuisances | None = None
) -> None:
    """Cover the lower end of the picture with the own car and the nuisances on it, and clear the mask there."""
    height, width = mask.shape
    curve, shift, tone, mirror = sensor.bonnet_shape
    x = np.linspace(-0.02, 1.02, 40)
    top = 1 - sensor.bonnet + curve * (x - 0.5 - shift) ** 2 * 2
    outline = np.stack([x * width, top * height], axis=1)
    outline = np.concatenate([outline, [[width * 1.02, height * 1.1], [-width * 0.02, height * 1.1]]])
    cover = np.zeros((height, width), np.uint8)
    fill(cover, outline, 255)
    first = int(np.clip(top.min() * height - 2, 0, height - 1))
    part = lit[first:]
    tall = part.shape[0]
    depth = np.linspace(0, 1, tall, dtype=np.float32)[:, None, None]
    level = min(float(lit[: max(first, 1)].mean()) / 110, 1.0)
    own = np.float32(tone * level) * (1.15 - 0.6 * depth) * np.array([0.98, 1.0, 1.03], np.float32)
    above = lit[max(first - tall, 0) : first][::-1]
    if mirror > 0.05 and above.shape[0] > 2:
        own = own + np.float32(mirror * 0.5) * cv2.resize(cv2.blur(above, (25, 9)), (width, tall)) * (1 - depth)
    alpha = (cover[first:] * np.float32(1 / 255))[..., None]
    part += (own - part) * alpha
    mask[cover > 127] = 0
    if nuisances is not None:
        draw_on_bonnet(lit, cover, nuisances)


def expose(
    lit: NDArray[np.float32], sensor: Sensor, light: Light, glare: tuple[float, float] | None, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Turn light (H, W, 3) float32 into the camera's picture, (H, W, 3) uint8. `lit` is modified."""
    height, width = lit.shape[:2]
    scale = width / 960
    y = (np.arange(height, dtype=np.float32) - height / 2)[:, None] / (width / 2)
    x = (np.arange(width, dtype=np.float32) - width / 2)[None] / (width / 2)
    if glare is not None:
        _add_glare(lit, glare, rng)
    if sensor.veil:
        _add_veil(lit, sensor.veil, rng)
    if light.kind == "wet" and not light.night:
        _add_rain(lit, rng)
    factor = 1 - np.float32(sensor.vignette) * np.minimum((x * x + y * y) * np.float32(0.75), 1)
    lit *= factor[..., None]
    picture = np.clip(lit, 0, 255).astype(np.uint8)
    if sensor.drops:
        _add_drops(picture, sensor.drops, rng)
    picture = _soften(picture, sensor, scale)
    if sensor.noise > 0.3:
        picture = _add_noise(picture, sensor.noise, rng)
    picture = _grade(picture, sensor)
    if sensor.quality:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(picture)


def _grade(picture: NDArray[np.uint8], sensor: Sensor) -> NDArray[np.uint8]:
    value = np.arange(256) / 255
    curves = []
    for balance in sensor.balance:
        # a soft shoulder keeps bright paint and sky from clipping flat
        exposed = value * sensor.gain * balance
        shoulder = np.where(exposed > 0.8, 0.8 + 0.2 * np.tanh((exposed - 0.8) / 0.2), exposed)
        curves.append(sensor.black + (255 - sensor.black) * np.clip(shoulder, 0, 1) ** sensor.gamma)
    table = np.clip(np.stack(curves, axis=1) + 0.5, 0, 255).astype(np.uint8)[None]
    graded = cv2.LUT(picture, table)
    if abs(sensor.saturation - 1) > 0.05:
        k = sensor.saturation
        grey = np.array([0.299, 0.587, 0.114])
        matrix = np.eye(3) * k + np.outer(np.ones(3), grey) * (1 - k)
        graded = cv2.transform(graded, matrix)
    return graded


def _soften(picture: NDArray[np.uint8], sensor: Sensor, scale: float) -> NDArray[np.uint8]:
    sigma = sensor.blur * scale
    if sigma > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    length = round(sensor.motion * scale)
    if length > 1:
        picture = cv2.blur(picture, (1, length))
    if sensor.sharpen > 0.15:
        soft = cv2.GaussianBlur(picture, (0, 0), max(1.2 * scale, 0.6))
        picture = cv2.addWeighted(picture, 1 + sensor.sharpen, soft, -sensor.sharpen, 0)
    return picture


@cache
def _bell() -> NDArray[np.float32]:
    """Return the quantiles of a normal distribution at the middles of `_QUANTILES` equal shares."""
    bell = np.sort(noise(8, 0.0).ravel())
    step = bell.size // _QUANTILES
    return bell[step // 2 :: step]


def _add_noise(picture: NDArray[np.uint8], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    order = _bell() * sigma
    drawn = rng.integers(0, _QUANTILES, picture.size // 2 + 1, np.uint8)
    # half of the values are random and the rest are the same ones shifted, which is enough for noise
    both = np.concatenate([drawn, np.roll(drawn, 12345)])[: picture.size].reshape(picture.shape)
    grain = np.round(order).astype(np.int16).take(both)
    grain += picture
    return np.clip(grain, 0, 255).astype(np.uint8)


def _add_glare(lit: NDArray[np.float32], at: tuple[float, float], rng: np.random.Generator) -> None:
    height, width = lit.shape[:2]
    h, w = max(height // 8, 2), max(width // 8, 2)
    y = (np.arange(h, dtype=np.float32)[:, None] * 8 - at[1]) / width
    x = (np.arange(w, dtype=np.float32)[None] * 8 - at[0]) / width
    r2 = x * x + y * y
    strength = float(rng.uniform(0.5, 1.3))
    veil = 150 * np.exp(-r2 / 0.02) + 70 * np.exp(-np.sqrt(r2) / 0.22) + 300 * np.exp(-r2 / 0.0016)
    veil = cv2.resize((veil * strength).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    lit += veil[..., None] * np.array([1.0, 0.96, 0.86], np.float32)


def _add_veil(lit: NDArray[np.float32], strength: float, rng: np.random.Generator) -> None:
    height, width = lit.shape[:2]
    at = int(rng.integers(0, TILE - 64))
    patch = noise(9, 1.5)[at : at + 32, :64]
    veil = np.clip(cv2.resize(patch, (width, height), interpolation=cv2.INTER_CUBIC) * 0.5 + 0.5, 0, 1.5)
    veil *= np.linspace(0.15, 1, height, dtype=np.float32)[:, None]
    bright = float(np.clip(lit[: height // 3].mean(), 5, 255))
    lit += (veil * np.float32(strength * bright))[..., None]


def _add_rain(lit: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = lit.shape[:2]
    amount = float(rng.uniform(0, 14))
    if amount < 4:
        return
    streaks = np.zeros((height, width), np.uint8)
    slant = float(rng.normal(0, 0.15))
    long = height * 0.04
    for x, y, size in zip(*rng.random((3, int(rng.integers(40, 260)))), strict=True):
        start = (int(x * width), int(y * height))
        end = (int(x * width + slant * long * size), int(y * height + long * (0.3 + size)))
        cv2.line(streaks, start, end, 255, 1, cv2.LINE_AA)
    lit += (streaks * np.float32(amount / 255))[..., None]


def _add_drops(picture: NDArray[np.uint8], count: int, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for x, y, r in zip(*rng.random((3, count)), strict=True):
        radius = int(3 + r * r * width * 0.016)
        x0, y0 = int(x * (width - 2 * radius - 1)), int(y * (height - 2 * radius - 1))
        if x0 < 0 or y0 < 0:
            continue
        box = picture[y0 : y0 + 2 * radius, x0 : x0 + 2 * radius]
        inside = np.zeros(box.shape[:2], np.uint8)
        cv2.circle(inside, (radius, radius), radius - 1, 1, -1)
        turned = cv2.blur(box[::-1], (radius | 1, radius | 1))
        np.copyto(box, turned, where=inside[..., None] > 0)

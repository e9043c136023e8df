"""Time of day and weather: the light of a scene and the effect of the air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("clear", "cloudy", "overcast", "lowsun", "dusk", "fog", "wet", "night")
_WEIGHTS = (0.30, 0.14, 0.16, 0.08, 0.07, 0.05, 0.07, 0.13)
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """What lights a scene.

    Attributes:
        kind: one of `KINDS`.
        shadow: share of the light that a cast shadow removes, 0..1.
        sun: the sun's position: the shadow of a point at height h falls `-h * sun` metres away as (across, along).
        zenith: colour of the sky at the zenith (RGB, 0..255).
        horizon: colour of the sky at the horizon (RGB, 0..255).
        clouds: share of the sky that is clouded, 0..1.
        haze: metres after which the air hides 63 % of a surface.
        haze_colour: colour of the air.
        level: brightness factor of everything lit by the sky.
        tint: colour of the light of the sky.
        wet: wetness of the road, from 0 (dry) to 1 (like a mirror).
        headlight: strength of the car's own headlights (0 by day).
        lamps: strength of street lamps.
        lamp_tint: colour of street lamps.
    """

    kind: str
    shadow: float
    sun: tuple[float, float]
    zenith: Colour
    horizon: Colour
    clouds: float
    haze: float
    haze_colour: Colour
    level: float
    tint: Colour
    wet: float
    headlight: float
    lamps: float
    lamp_tint: Colour

    @property
    def plain(self) -> bool:
        """Whether the light is the same at every distance: clear air, no lamps, no tint."""
        return not self.night and self.haze >= 2000 and self.level == 1.0 and self.tint == (1.0, 1.0, 1.0)

    @property
    def night(self) -> bool:
        """Whether the scene is lit by lamps."""
        return self.headlight > 0


def make_light(rng: np.random.Generator, region: str, kind: str | None = None) -> Light:
    """Choose the light for a region at random, of the given kind or of any."""
    kind = kind or str(rng.choice(KINDS, p=_WEIGHTS))
    side = float(rng.choice([-1, 1]))
    blue = rng.uniform(0, 1)
    zenith = _mix((52, 96, 160), (96, 140, 186), blue)
    horizon = _mix((150, 182, 206), (196, 208, 216), rng.uniform(0, 1))
    sun = (side * float(rng.uniform(0.2, 1.6)), float(rng.uniform(-0.9, 0.9)))
    shadow, clouds, haze, level, wet = float(rng.uniform(0.45, 0.72)), float(rng.uniform(0, 0.35)), 2500.0, 1.0, 0.0
    tint: Colour = (1.0, 1.0, 1.0)
    if kind == "cloudy":
        clouds, shadow = float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.15, 0.5))
    elif kind in ("overcast", "fog", "wet"):
        grey = float(rng.uniform(135, 250))
        zenith, horizon = (grey * 0.92, grey * 0.95, grey), (grey * 1.02, grey * 1.02, grey * 1.02)
        clouds, shadow, level = float(rng.uniform(0.0, 0.6)), 0.0, float(rng.uniform(0.6, 0.95))
        haze = float(rng.uniform(600, 2500))
    elif kind == "lowsun":
        horizon = _mix((250, 226, 180), (255, 244, 225), rng.uniform(0, 1))
        sun = (side * float(rng.uniform(0.3, 3.0)), float(rng.uniform(0.5, 3.0)))
        tint, shadow, level = (1.08, 0.98, 0.84), float(rng.uniform(0.4, 0.65)), float(rng.uniform(0.5, 0.95))
        haze = float(rng.uniform(400, 1500))
    elif kind == "dusk":
        zenith = _mix((52, 62, 92), (92, 102, 130), blue)
        horizon = _mix((170, 140, 120), (206, 170, 150), rng.uniform(0, 1))
        shadow, level, tint = 0.0, float(rng.uniform(0.3, 0.55)), (0.9, 0.95, 1.12)
    if kind == "fog":
        haze = float(np.exp(rng.uniform(np.log(45), np.log(260))))
    if kind == "wet":
        wet = float(rng.uniform(0.35, 1.0))
    headlight, lamps = 0.0, 0.0
    lamp_tint = _mix((1.15, 0.86, 0.52), (1.0, 1.0, 1.02), rng.uniform(0, 1))
    if kind == "night":
        sky = float(rng.uniform(2, 26))
        zenith, horizon = (sky * 0.7, sky * 0.75, sky), (sky * 1.5, sky * 1.2, sky * 1.1)
        shadow, clouds, level = 0.0, 0.0, float(rng.uniform(0.015, 0.10))
        tint, headlight = (0.8, 0.9, 1.15), float(rng.uniform(0.45, 1.25))
        city = region.endswith("city")
        lamps = float(rng.uniform(0.15, 0.7)) if rng.random() < (0.85 if city else 0.35) else 0.0
        wet = float(rng.uniform(0.2, 0.9)) if rng.random() < 0.2 else 0.0
        if city:
            level *= 1.6
    mist = tuple(float(c) for c in horizon)
    return Light(
        kind, shadow, sun, zenith, horizon, clouds, haze, (mist[0], mist[1], mist[2]), level, tint, wet,
        headlight, lamps, lamp_tint,
    )  # fmt: skip


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)

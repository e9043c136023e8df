"""Painted lines: stripes, their dash patterns, and which line is painted where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOREVER = 1e6


@dataclass(frozen=True)
class Stripe:
    """One painted stripe of a line, `shift` metres right of the line's middle; it is solid if `period` is 0."""

    shift: float
    width: float
    period: float = 0.0
    dash: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Line:
    """A lane line `offset` metres right of the centre line, between the distances `start` and `stop`.

    `ride` is the share of the road's widening (`Widening`) by which the line moves: 0 if it stays, 1 if it follows.
    """

    offset: float
    style: str
    colour: str
    stripes: tuple[Stripe, ...]
    ride: float = 0.0
    start: float = -FOREVER
    stop: float = FOREVER


def dash_pattern(rng: np.random.Generator, region: str) -> tuple[float, float]:
    """Choose the period and dash length in metres, as they are usual in the region."""
    options = {
        "us_highway": ((12.2, 3.05), (12.2, 3.7), (14.6, 3.6), (7.3, 1.8)),
        "eu_motorway": ((18.0, 6.0), (9.0, 2.0), (12.0, 3.0), (13.0, 3.0)),
        "rural": ((12.2, 3.05), (9.0, 3.0), (6.0, 4.0), (7.0, 2.0)),
        "us_city": ((12.2, 3.05), (9.0, 3.0), (7.3, 1.8)),
        "uk_city": ((6.0, 4.0), (6.0, 2.0), (3.0, 1.0), (9.0, 3.0)),
        "cn_city": ((6.0, 2.0), (15.0, 6.0), (8.0, 4.0), (10.0, 4.0)),
    }[region]
    period, dash = options[int(rng.integers(len(options)))]
    factor = float(rng.uniform(0.85, 1.15))
    return period * factor, dash * factor * float(rng.uniform(0.85, 1.15))


def solid_line(offset: float, width: float, colour: str) -> Line:
    """Return a line of one solid stripe."""
    return Line(offset, "solid", colour, (Stripe(0.0, width),))


def lane_divider(rng: np.random.Generator, offset: float, pattern: tuple[float, float], width: float) -> Line:
    """Make the line between two lanes of the same direction."""
    period, dash = pattern
    phase = float(rng.uniform(0, 1.0)) + 0.3 * period
    kind = rng.choice(["dashed", "solid", "dots", "wide", "dotted", "mixed"], p=[0.74, 0.09, 0.04, 0.05, 0.05, 0.03])
    if kind == "solid":
        return solid_line(offset, width, "white")
    if kind == "dots":
        stripes = tuple(Stripe(0.0, 0.11, period, 0.14, phase + k * 1.2) for k in range(4))
        return Line(offset, "dots", "white", stripes)
    if kind == "wide":
        return Line(offset, "dashed", "white", (Stripe(0.0, width * 1.8, period / 3, dash / 3, phase),))
    if kind == "dotted":
        extra = Stripe(0.0, 0.1, period, 0.12, phase + dash + (period - dash) / 2)
        return Line(offset, "dashed", "white", (Stripe(0.0, width, period, dash, phase), extra))
    if kind == "mixed":
        return Line(
            offset,
            "solid-dashed",
            "white",
            (Stripe(-width, width), Stripe(width, width, period, dash, phase)),
        )
    return Line(offset, "dashed", "white", (Stripe(0.0, width, period, dash, phase),))


def centre_line(rng: np.random.Generator, region: str, offset: float, width: float, colour: str) -> list[Line]:
    """Make the line between the two directions of an undivided road."""
    gap = float(rng.uniform(0.9, 1.3)) * width
    period, dash = dash_pattern(rng, region)
    phase = float(rng.uniform(0, period))
    kind = str(rng.choice(["double", "dashed", "solid", "mixed", "none"], p=[0.42, 0.28, 0.14, 0.12, 0.04]))
    if region == "uk_city":
        kind = str(rng.choice(["double", "dashed", "none"], p=[0.12, 0.8, 0.08]))
    if kind == "none":
        return []
    if kind == "double":
        return [Line(offset, "double", colour, (Stripe(-gap, width), Stripe(gap, width)))]
    if kind == "mixed":
        side = 1 if rng.random() < 0.5 else -1
        stripes = (Stripe(-gap * side, width), Stripe(gap * side, width, period, dash, phase))
        return [Line(offset, "solid-dashed", colour, stripes)]
    if kind == "solid":
        return [solid_line(offset, width, colour)]
    return [Line(offset, "dashed", colour, (Stripe(0.0, width, period, dash, phase),))]


def edge_line(rng: np.random.Generator, region: str, offset: float, width: float) -> list[Line]:
    """Make the line at the right edge of the carriageway, if there is one."""
    if region == "uk_city":
        if rng.random() < 0.5:
            stripes = (Stripe(0.0, 0.075), Stripe(0.2, 0.075))
            return [Line(offset + 0.1, "double", "yellow", stripes)]
        return [solid_line(offset + 0.2, 0.09, "yellow" if rng.random() < 0.5 else "white")]
    wide = width * float(rng.uniform(1.0, 1.35))
    if region == "rural" and rng.random() < 0.1:
        return [Line(offset, "dashed", "white", (Stripe(0.0, wide, 2.0, 1.0, float(rng.uniform(0, 2))),))]
    return [solid_line(offset, wide, "white")]

"""The road's cross-section: lanes, painted lines, and the materials of the ground beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.lines import (
    FOREVER,
    Line,
    Stripe,
    centre_line,
    dash_pattern,
    edge_line,
    lane_divider,
    solid_line,
)

REGIONS = ("us_highway", "eu_motorway", "rural", "us_city", "uk_city", "cn_city")
_WEIGHTS = (0.30, 0.13, 0.15, 0.16, 0.10, 0.16)


@dataclass(frozen=True)
class Widening:
    """The road's right side moves outwards by `amount` metres over a length of `length` metres from `start` on."""

    start: float
    length: float
    amount: float

    def at(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the widening in metres at the distances `s`."""
        t = np.clip((s - self.start) / self.length, 0, 1)
        return self.amount * t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Strip:
    """Ground of one material, from `left` to `right` (metres right of the centre line)."""

    left: float
    right: float
    material: str


@dataclass(frozen=True)
class CrossSection:
    """A cross-section. The middle of the car's own lane is at 0; `lanes` holds (middle, direction +1 or -1)."""

    region: str
    lane_width: float
    lines: tuple[Line, ...]
    strips: tuple[Strip, ...]
    lanes: tuple[tuple[float, int], ...]
    left_edge: float
    right_edge: float
    left_border: str
    right_border: str
    widening: Widening
    crossing: float
    sign: int


def choose_region(rng: np.random.Generator) -> str:
    """Choose a region at random."""
    return str(rng.choice(REGIONS, p=_WEIGHTS))


def make_cross_section(rng: np.random.Generator, region: str, plain: bool = False) -> CrossSection:
    """Make a random cross-section for a region; `plain` leaves out junctions and widenings."""
    city = region.endswith("city")
    divided = region in ("us_highway", "eu_motorway") or (region == "cn_city" and rng.random() < 0.6)
    width = float(rng.uniform(2.9, 3.5) if city else rng.uniform(3.4, 3.8))
    own = (
        int(rng.choice([2, 3, 4, 5], p=[0.3, 0.35, 0.25, 0.1])) if divided else int(rng.choice([1, 2, 3], p=_two(city)))
    )
    index = int(rng.integers(0, own))
    left, right = -(index + 0.5) * width, (own - index - 0.5) * width
    pattern = dash_pattern(rng, region)
    thick = float(rng.uniform(0.10, 0.19) if city else rng.uniform(0.09, 0.16))
    centre_colour = "white" if region in ("eu_motorway", "uk_city") else "yellow"
    if region == "rural" and rng.random() < 0.35:
        centre_colour = "white"
    lines = [lane_divider(rng, left + width * k, pattern, thick) for k in range(1, own)]
    lanes = [((k - index) * width, 1) for k in range(own)]
    strips: list[Strip] = []

    crossing = float(rng.uniform(12, 70)) if city and not plain and rng.random() < 0.4 else FOREVER
    right_border = _border(rng, region)
    bordered = city and right_border in ("kerb", "rail")
    shoulder = float(rng.uniform(0.1, 0.9) if bordered else rng.uniform(0.4, 3.2 if divided else 1.2))
    if rng.random() < (0.55 if city else 0.93):
        lines += edge_line(rng, region, right, thick)
    strips += _outside(rng, right, shoulder, right_border, city)

    if divided:
        left_shoulder = float(rng.uniform(0.4, 1.0 if city else 3.0))
        colour = "white" if region == "eu_motorway" or rng.random() < 0.1 else "yellow"
        if region == "cn_city" and rng.random() < 0.5:
            colour = "white"
        lines.append(solid_line(left, thick * float(rng.uniform(1, 1.25)), colour))
        left_border = str(rng.choice(["barrier", "median", "rail", "hedge"], p=[0.38, 0.34, 0.14, 0.14]))
        gap = float(rng.uniform(0.8, 1.4) if left_border in ("barrier", "rail", "hedge") else rng.uniform(3, 14))
        inner = left - left_shoulder
        opposite = inner - gap - left_shoulder
        material = {"hedge": "soil", "median": _verge(rng)}.get(left_border, "shoulder")
        strips += [Strip(inner, left, "shoulder"), Strip(inner - gap, inner, material)]
        strips.append(Strip(opposite, inner - gap, "shoulder"))
        lines.append(solid_line(opposite, thick, colour))
    else:
        left_border, opposite, inner = "none", left, left
        lines += centre_line(rng, region, left, thick, centre_colour)
    lanes_opposite = own if not (own == 1 and rng.random() < 0.1) else 2
    lines += [lane_divider(rng, opposite - width * k, pattern, thick) for k in range(1, lanes_opposite)]
    lanes += [(opposite - width * (k + 0.5), -1) for k in range(lanes_opposite)]
    far = opposite - width * lanes_opposite
    strips += [Strip(opposite - width * lanes_opposite, opposite, "asphalt"), Strip(left, right, "asphalt")]
    far_border = _border(rng, region)
    if rng.random() < (0.5 if city else 0.9):
        lines += [replace(e, offset=2 * far - e.offset) for e in edge_line(rng, region, far, thick)]
    outer = _outside(rng, 0.0, shoulder, far_border, city)
    strips += [Strip(far - strip.right, far - strip.left, strip.material) for strip in outer]

    widening = Widening(FOREVER, 1.0, 0.0)
    if not city and not plain and divided and rng.random() < 0.3:
        widening, lines = _exit(rng, right, width, thick, lines)
    if crossing < FOREVER:
        lines = _interrupt(lines, crossing, crossing + float(rng.uniform(16, 26)))
    sign = -1 if region in ("uk_city",) or (region in ("eu_motorway", "rural") and rng.random() < 0.35) else 1
    return CrossSection(
        region,
        width,
        tuple(lines),
        tuple(strips),
        tuple(lanes),
        inner if divided else far - shoulder,
        right + shoulder,
        left_border if divided else far_border,
        right_border,
        widening,
        crossing,
        sign,
    )


def _two(city: bool) -> list[float]:
    return [0.45, 0.35, 0.2] if city else [0.85, 0.13, 0.02]


def _border(rng: np.random.Generator, region: str) -> str:
    """Choose what stands at the road's outer edge."""
    choices = {
        "us_highway": (["verge", "rail", "barrier", "bank"], [0.34, 0.2, 0.24, 0.22]),
        "eu_motorway": (["verge", "rail", "barrier", "bank"], [0.3, 0.4, 0.15, 0.15]),
        "rural": (["verge", "rail", "bank", "hedge"], [0.6, 0.12, 0.1, 0.18]),
        "us_city": (["kerb", "verge"], [0.85, 0.15]),
        "uk_city": (["kerb", "hedge"], [0.9, 0.1]),
        "cn_city": (["kerb", "rail", "hedge"], [0.6, 0.2, 0.2]),
    }[region]
    return str(rng.choice(choices[0], p=choices[1]))


def _verge(rng: np.random.Generator) -> str:
    return str(rng.choice(["grass", "dry", "gravel", "snow"], p=[0.5, 0.3, 0.15, 0.05]))


def _outside(rng: np.random.Generator, edge: float, shoulder: float, border: str, city: bool) -> list[Strip]:
    """Return the strips of ground to the right of the carriageway."""
    at = edge + shoulder
    strips = [Strip(edge, at, "asphalt" if city else "shoulder")]
    if city:
        gutter = float(rng.uniform(0.2, 0.45)) if rng.random() < 0.4 else 0.0
        kerb = float(rng.uniform(0.12, 0.25))
        walk = float(rng.uniform(1.5, 5.0))
        strips += [
            Strip(at - gutter, at, "gutter"),
            Strip(at, at + kerb, "kerb"),
            Strip(at + kerb, at + kerb + walk, _verge(rng) if rng.random() < 0.25 else "pavement"),
            Strip(at + kerb + walk, at + 90, "pavement" if rng.random() < 0.6 else _verge(rng)),
        ]
    else:
        gravel = float(rng.uniform(0.3, 2.5)) if rng.random() < 0.6 else 0.05
        verge = "soil" if border == "hedge" else _verge(rng)
        strips += [Strip(at, at + gravel, "gravel"), Strip(at + gravel, at + 90, verge)]
    return strips


def _exit(
    rng: np.random.Generator, right: float, width: float, thick: float, lines: list[Line]
) -> tuple[Widening, list[Line]]:
    """Make a lane that opens on the right: an added lane, or an exit that leaves the road behind a gore."""
    start = float(rng.uniform(-40, 60))
    length = float(rng.uniform(60, 160))
    leaves = rng.random() < 0.6
    amount = float(rng.uniform(9, 16)) if leaves else width
    widening = Widening(start, length * (2 if leaves else 1), amount)
    steps = np.arange(start, start + 2 * length + 1, 1.0)
    open_at = widening.at(steps)
    kept = [line for line in lines if abs(line.offset - right) > 0.5]
    edge = next((line for line in lines if abs(line.offset - right) <= 0.5), solid_line(right, thick, "white"))
    dashes = Stripe(0.0, thick * 1.6, 3.0 * float(rng.uniform(0.8, 2.0)), 1.0, 0.0)
    nose = float(steps[np.argmax(open_at > width + 0.9)]) if leaves else FOREVER
    kept += [
        replace(edge, stop=start),
        Line(right, "dashed", "white", (dashes,), start=start + 5, stop=nose),
        replace(edge, ride=1.0, start=start),
    ]
    if leaves:
        kept.append(replace(solid_line(right - width, thick, edge.colour), ride=1.0, start=nose))
        kept.append(replace(edge, start=nose))
    return widening, kept


def _interrupt(lines: list[Line], start: float, stop: float) -> list[Line]:
    """Interrupt lines where another road crosses."""
    return [
        part
        for line in lines
        for part in (replace(line, stop=min(line.stop, start)), replace(line, start=max(line.start, stop)))
        if part.start < part.stop
    ]


def mirrored(cross_section: CrossSection) -> CrossSection:
    """Return the same cross-section for traffic on the left."""
    lines = tuple(
        replace(
            line, offset=-line.offset, ride=-line.ride, stripes=tuple(replace(p, shift=-p.shift) for p in line.stripes)
        )
        for line in cross_section.lines
    )
    strips = tuple(Strip(-strip.right, -strip.left, strip.material) for strip in cross_section.strips)
    lanes = tuple((-u, direction) for u, direction in cross_section.lanes)
    return replace(
        cross_section,
        lines=lines,
        strips=strips,
        lanes=lanes,
        left_edge=-cross_section.right_edge,
        right_edge=-cross_section.left_edge,
        left_border=cross_section.right_border,
        right_border=cross_section.left_border,
        sign=-1,
    )

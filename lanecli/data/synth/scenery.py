"""What stands beside and over the road: walls, rails, trees, houses, poles, signs, bridges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lanecli.data.synth.cross_section import CrossSection
from lanecli.data.synth.lines import FOREVER


@dataclass(frozen=True)
class Wall:
    """A surface along the road from (`u`, `low`) to (`u` + `lean`, `high`), whose texture repeats every `repeat` m."""

    u: float
    low: float
    high: float
    texture: str
    repeat: float
    lean: float = 0.0
    ride: float = 0.0
    index: int = -1
    start: float = -FOREVER
    stop: float = FOREVER


@dataclass(frozen=True)
class Tree:
    """A tree at (`u`, `s`), `height` metres tall."""

    s: float
    u: float
    height: float
    index: int
    shade: float


@dataclass(frozen=True)
class House:
    """A house from `s` to `stop` with its front at `u`; the sign of its `depth` points away from the road."""

    s: float
    stop: float
    u: float
    depth: float
    height: float
    index: int
    shade: float


@dataclass(frozen=True)
class Pole:
    """A pole, perhaps with a lamp, a sign, or an arm over the road (`reach` metres, signed)."""

    s: float
    u: float
    height: float
    width: float
    reach: float
    kind: str
    grey: float


@dataclass(frozen=True)
class Bridge:
    """A bridge over the road from `s` to `stop`, whose lower edge is `low` metres above it."""

    s: float
    stop: float
    low: float
    high: float
    grey: float


@dataclass(frozen=True)
class Scenery:
    """Everything that stands beside and over the road."""

    walls: list[Wall] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    houses: list[House] = field(default_factory=list)
    poles: list[Pole] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)


def make_scenery(rng: np.random.Generator, cross_section: CrossSection, length: float, plain: bool = False) -> Scenery:
    """Choose at random what stands along `length` metres of road."""
    result = Scenery()
    city = cross_section.region.endswith("city")
    own_left = cross_section.left_edge
    divided = cross_section.left_border in ("barrier", "median", "rail", "hedge") and any(
        d < 0 for _, d in cross_section.lanes
    )
    outer_left = min(u for u, _ in cross_section.lanes) - cross_section.lane_width / 2 - 1.5 if divided else own_left
    _border(rng, result, cross_section.right_border, cross_section.right_edge, 1, 1.0)
    if divided:
        _median(rng, result, cross_section.left_border, own_left)
        _border(rng, result, cross_section.right_border, outer_left, -1, 0.0)
    else:
        _border(rng, result, cross_section.left_border, own_left, -1, 0.0)
    for side, edge in ((1, cross_section.right_edge), (-1, outer_left)):
        bank = cross_section.right_border == "bank" and side == 1
        wooded = float(rng.choice([0.0, 0.4, 1.0, 2.2], p=[0.12, 0.33, 0.35, 0.2]))
        streams = rng.spawn(4)
        if city and rng.random() < 0.75:
            _houses(streams[0], result, cross_section, side, edge, length)
        if not bank:
            _trees(streams[1], result, cross_section, side, edge, length, wooded * (0.6 if city else 1.0))
            if wooded > 1.5 or rng.random() < 0.3:
                offset = float(rng.uniform(9, 35)) * (0.6 if city else 1.0)
                height = float(rng.uniform(3, 11))
                result.walls.append(
                    Wall(edge + side * offset, 0, height, "foliage", height * 2.2, index=int(rng.integers(6)))
                )
        _poles(streams[2], result, cross_section, side, edge, length)
    if not city and rng.random() < (0.5 if plain else 0.22):
        s = float(rng.uniform(160, 420) if plain else rng.uniform(20, 160))
        result.bridges.append(
            Bridge(s, s + float(rng.uniform(8, 22)), 5.4, float(rng.uniform(6.8, 7.8)), float(rng.uniform(95, 165)))
        )
    if not city and rng.random() < 0.3:
        result.poles.append(
            Pole(
                float(rng.uniform(50, 220)),
                cross_section.right_edge + 1.5,
                7.5,
                0.3,
                -float(rng.uniform(5, 12)),
                "gantry",
                120,
            )
        )
    return result


def mirrored_scenery(scenery: Scenery) -> Scenery:
    """Mirror everything to the other side of the road."""
    return Scenery(
        [replace(wall, u=-wall.u, lean=-wall.lean, ride=-wall.ride) for wall in scenery.walls],
        [replace(tree, u=-tree.u) for tree in scenery.trees],
        [replace(house, u=-house.u, depth=-house.depth) for house in scenery.houses],
        [replace(pole, u=-pole.u, reach=-pole.reach) for pole in scenery.poles],
        scenery.bridges,
    )


def _border(rng: np.random.Generator, result: Scenery, border: str, edge: float, side: int, ride: float) -> None:
    at = edge + side * float(rng.uniform(0.2, 0.9))
    if border == "rail":
        result.walls.append(Wall(at, 0.42, 0.82, "rail", 4.0, ride=ride))
    elif border == "barrier":
        tall = float(rng.choice([0.85, 1.1, 3.5], p=[0.5, 0.3, 0.2]))
        result.walls.append(Wall(at, 0.0, tall, "concrete", 6.0, lean=0.12 * side, ride=ride))
    elif border == "bank":
        texture = str(rng.choice(["earth", "grass", "rock"], p=[0.4, 0.35, 0.25]))
        rise = float(rng.uniform(2, 14))
        foot = edge + side * float(rng.uniform(1.5, 6))
        lean = side * rise * float(rng.uniform(0.6, 2.0))
        result.walls.append(Wall(foot, -0.1, rise, texture, 22.0, lean=lean, ride=ride))
    elif border == "hedge":
        height = float(rng.uniform(0.8, 3.5))
        index = int(rng.integers(6))
        result.walls.append(Wall(at + side * 0.6, 0, height, "foliage", height * 3, ride=ride, index=index))
    elif border in ("verge", "kerb") and rng.random() < 0.2:
        result.walls.append(Wall(at + side * 3, 0.0, float(rng.uniform(1.0, 2.2)), "fence", 5.0, ride=ride))


def _median(rng: np.random.Generator, result: Scenery, border: str, edge: float) -> None:
    if border == "barrier":
        result.walls.append(Wall(edge - 0.25, 0, float(rng.uniform(0.8, 1.2)), "concrete", 6.0, lean=-0.15))
    elif border == "rail":
        kind = "rail" if rng.random() < 0.5 else "fence"
        low, high = (0.4, 0.8) if kind == "rail" else (0.0, 1.1)
        result.walls.append(Wall(edge - 0.4, low, high, kind, 4.0))
    elif border == "hedge":
        height = float(rng.uniform(0.6, 1.4))
        result.walls.append(Wall(edge - 0.4, 0, height, "foliage", height * 3, index=int(rng.integers(6))))


def _trees(
    rng: np.random.Generator,
    result: Scenery,
    cross_section: CrossSection,
    side: int,
    edge: float,
    length: float,
    density: float,
) -> None:
    if density <= 0:
        return
    avenue = cross_section.region.endswith("city") or rng.random() < 0.2
    kinds = rng.integers(0, 12, 3)
    if not avenue:
        kinds = kinds[kinds != 8]
        kinds = kinds if kinds.size else np.array([0])
    row = float(rng.uniform(1.2, 4.0)) if avenue else 0.0
    tall = float(rng.uniform(5, 13))
    s = float(rng.uniform(0, 15))
    ride = cross_section.widening.amount if side == 1 else 0.0
    while s < length:
        gap = rng.normal(0, 0.6) + row if avenue else abs(rng.normal(0, 14)) + 5.5
        u = edge + side * (gap + ride + 0.8)
        height = tall * float(np.exp(rng.normal(0, 0.22)))
        result.trees.append(
            Tree(
                s, float(u), height, int(rng.choice(kinds)) + 12 * int(rng.integers(2)), float(rng.uniform(0.75, 1.15))
            )
        )
        s += float(rng.exponential(9 / density) + (6 if avenue else 1))


def _houses(
    rng: np.random.Generator, result: Scenery, cross_section: CrossSection, side: int, edge: float, length: float
) -> None:
    back = float(rng.uniform(2.5, 14))
    tall = float(rng.choice([7.0, 12.0, 24.0], p=[0.45, 0.35, 0.2]))
    s = float(rng.uniform(-30, 5))
    while s < min(length, 400):
        wide = float(rng.uniform(8, 26))
        clear = cross_section.crossing - wide < s < cross_section.crossing + 22
        if not clear and rng.random() < 0.85:
            u = edge + side * (back + float(rng.uniform(0, 2.5)))
            height = tall * float(rng.uniform(0.7, 1.4))
            result.houses.append(
                House(s, s + wide, u, side * 14.0, height, int(rng.integers(12)), float(rng.uniform(0.7, 1.15)))
            )
        s += wide + float(rng.choice([0.0, 2.0, 12.0], p=[0.5, 0.3, 0.2]))


def _poles(
    rng: np.random.Generator, result: Scenery, cross_section: CrossSection, side: int, edge: float, length: float
) -> None:
    city = cross_section.region.endswith("city")
    u = edge + side * float(rng.uniform(0.6, 1.8) if city else rng.uniform(1.5, 9))
    ride = cross_section.widening.amount if side == 1 else 0.0
    grey = float(rng.uniform(60, 150))
    kind = str(rng.choice(["lamp", "wire", "none"], p=[0.5, 0.2, 0.3] if city else [0.3, 0.2, 0.5]))
    step = float(rng.uniform(25, 50))
    if kind != "none":
        height, reach = float(rng.uniform(6, 11)), -side * float(rng.uniform(1, 3))
        for s in np.arange(rng.uniform(0, step), length, step):
            result.poles.append(
                Pole(float(s), u + side * ride, height, 0.18, reach if kind == "lamp" else 0, kind, grey)
            )
    for s in np.arange(rng.uniform(10, 80), length, rng.uniform(60, 200)):
        result.poles.append(
            Pole(float(s), u + side * (ride + 0.6), float(rng.uniform(2, 3.2)), 0.08, 0.0, "sign", grey)
        )

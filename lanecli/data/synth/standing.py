"""Paints what stands beside and over the road, from far to near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.camera import NEAR
from lanecli.data.synth.canvas import Canvas, Colour, Pyramid
from lanecli.data.synth.cross_section import CrossSection
from lanecli.data.synth.light import Light
from lanecli.data.synth.road import RoadView
from lanecli.data.synth.scenery import Bridge, House, Pole, Scenery, Tree, Wall
from lanecli.data.synth.textures import facade, foliage, pyramid, surface, tree

_UP = np.array([0.0, 1.0, 0.0])
_WALL_REACH = 330.0
_OVERLAP = 0.04  # metres by which neighbouring pieces overlap, so that no seam is visible
_TREE_REACH, _HOUSE_REACH, _POLE_REACH = 220.0, 300.0, 160.0


@dataclass(frozen=True)
class Panel:
    """A textured quad (4, 3) in world points: a piece of a wall, or a tree."""

    points: NDArray[np.float64]
    texture: Pyramid
    shade: float


@cache
def _tiled(name: str, index: int, times: int) -> Pyramid:
    base = foliage(index) if name == "foliage" else surface(name)
    level = min(int(np.log2(times)), len(base) - 1)
    return pyramid(np.tile(base[level], (1, times, 1)))


def painting_order(view: RoadView, scenery: Scenery, distance: float, u: float) -> float:
    """Return the sort key for painting something at `distance` metres and `u`, before every wall nearer to the car.

    Pieces of walls are sorted by their middle, which may be half a piece away from what stands beside them; the key
    allows for that.
    """
    for wall in scenery.walls:
        if (wall.u - view.u) * (u - wall.u) > 0 and abs(u - wall.u) > 0.3:
            distance = distance * 1.5 + 12
    return distance


def steps(
    view: RoadView, scenery: Scenery, cross_section: CrossSection, light: Light
) -> Iterator[tuple[float, object]]:
    """Yield everything in sight as (sort key, object)."""
    for wall in scenery.walls:
        for distance, panel in _wall_panels(view, wall, cross_section, light):
            yield painting_order(view, scenery, distance, wall.u), panel
    for thing, panel in _tree_panels(view, scenery.trees, light):
        yield painting_order(view, scenery, thing.s - view.s, thing.u), panel
    limit = view.reach - 8
    for house in scenery.houses:
        if house.stop > view.s + 4 and house.s < min(view.s + _HOUSE_REACH, limit):
            yield painting_order(view, scenery, max(house.s - view.s, 3.0), house.u), house
    for pole in scenery.poles:
        reach = 260.0 if pole.kind == "gantry" else _POLE_REACH
        if view.s + 1 < pole.s < min(view.s + reach, limit):
            yield painting_order(view, scenery, pole.s - view.s, pole.u), pole
    for bridge in scenery.bridges:
        if view.s + 2 < bridge.stop and bridge.s < min(view.s + 320, view.reach - 25):
            yield bridge.s - view.s, bridge


def draw(canvas: Canvas, view: RoadView, cross_section: CrossSection, light: Light, thing: object) -> None:
    """Paint one object from `steps`."""
    if isinstance(thing, Panel):
        canvas.quad(thing.points, thing.texture, thing.shade)
    elif isinstance(thing, House):
        _draw_house(canvas, view, thing, light)
    elif isinstance(thing, Pole):
        _draw_pole(canvas, view, thing, light)
    elif isinstance(thing, Bridge):
        _draw_bridge(canvas, view, cross_section, thing, light)


def _wall_panels(
    view: RoadView, wall: Wall, cross_section: CrossSection, light: Light
) -> Iterator[tuple[float, Panel]]:
    """Yield the pieces of a wall, one texture repeat long near the car and several far away, aligned to the world."""
    first, last = view.s + 1.0, min(view.s + _WALL_REACH, view.reach - 2)
    cells, counts = [], []
    cell = int(np.floor(first / wall.repeat))
    while cell * wall.repeat < last:
        distance = cell * wall.repeat - view.s
        times = 1
        while times < 16 and times * 2 * wall.repeat < distance * 0.8 and cell % (times * 2) == 0:
            times *= 2
        cells.append(cell)
        counts.append(times)
        cell += times
    start = np.array(cells) * wall.repeat
    stop = start + np.array(counts) * wall.repeat
    ends = np.stack([start, stop + _OVERLAP], axis=1)
    cut = np.maximum(ends[:, 0], first)
    # a piece that begins beside or behind the camera is clipped in front of it, together with its texture
    front = view.to_world(cut, wall.u)[:, 2]
    cut += np.maximum(1.0 - front, 0.0)
    share = (cut - start) / (stop - start)
    s = np.stack([cut, ends[:, 1]], axis=1)
    u = wall.u + wall.ride * cross_section.widening.at(s)
    low = view.to_world(s.ravel(), u.ravel(), wall.low).reshape(-1, 2, 3)
    high = view.to_world(s.ravel(), u.ravel() + wall.lean, wall.high).reshape(-1, 2, 3)
    side = -1.0 if wall.u > view.u else 1.0
    shade = _facing(light, side)
    if abs(wall.lean) > 1:
        shade = max(shade, min(0.6 + abs(wall.lean) / 12, 0.98))  # a slope also sees the sky
    for i, times in enumerate(counts):
        if share[i] > 0.97 or min(low[i, :, 2].min(), high[i, :, 2].min()) < NEAR:
            continue
        texture = _tiled(wall.texture, wall.index, times)
        if share[i] > 1e-3:
            texture = (np.ascontiguousarray(texture[0][:, int(texture[0].shape[1] * share[i]) :]),)
        points = np.stack([high[i, 0], high[i, 1], low[i, 1], low[i, 0]])
        yield max(start[i] - view.s, 0.0) + wall.repeat * times / 2, Panel(points, texture, shade)


def _tree_panels(view: RoadView, trees: list[Tree], light: Light) -> Iterator[tuple[Tree, Panel]]:
    limit = min(view.s + _TREE_REACH, view.reach - 8)
    seen = [t for t in trees if view.s + 1 < t.s < limit]
    if not seen:
        return
    feet = view.to_world(np.array([t.s for t in seen]), np.array([t.u for t in seen]))
    dim = 0.8 if light.shadow > 0.15 and light.sun[1] > 0 else 1.0
    for thing, foot in zip(seen, feet, strict=True):
        if foot[2] > max(2.0, 0.9 * thing.height - abs(foot[0])) and thing.height * view.camera.focal > 5 * foot[2]:
            half, h = thing.height / 2, thing.height
            points = foot + np.array([[-half, h, 0], [half, h, 0], [half, -0.05, 0], [-half, -0.05, 0]])
            yield thing, Panel(points, tree(thing.index), thing.shade * dim)


def _facing(light: Light, side: float) -> float:
    """Return the brightness of an upright surface that faces `side` (-1 left, +1 right, 0 towards the camera)."""
    if light.shadow < 0.15:
        return 0.92
    towards = light.sun[0] * side if side else -light.sun[1]
    return 1.05 if towards > 0 else 0.62


def _draw_house(canvas: Canvas, view: RoadView, thing: House, light: Light) -> None:
    side = -1.0 if thing.u > view.u else 1.0
    texture = facade(thing.index)
    floors = max(int(thing.height / 3.2), 2)
    repeats = max(round(floors / 4), 1)
    s0 = max(thing.s, view.s - 5)
    end = view.to_world(np.array([s0, s0]), np.array([thing.u, thing.u + thing.depth]))
    if end[:, 2].min() > 1.0:
        top, low = end + _UP * thing.height, end
        order = (0, 1) if thing.depth > 0 else (1, 0)
        quad = np.stack([top[order[0]], top[order[1]], low[order[1]], low[order[0]]])
        wall = (np.tile(texture[1][:2], (1, 1, 1)),) if thing.index % 2 else texture
        canvas.quad(quad, wall, _facing(light, 0) * thing.shade * 0.9)
    wide = max((thing.stop - thing.s) / max(round((thing.stop - thing.s) / 11), 1), 4.0)
    cuts = np.arange(thing.s, thing.stop + 0.1, wide)
    shade = _facing(light, side) * thing.shade
    for a, b in reversed(list(pairwise(cuts))):
        a_cut = max(a, view.s + 1.0)
        if b - a_cut < 0.3:
            continue
        ends = view.to_world(np.array([a_cut, b]), thing.u)
        if ends[:, 2].min() < 0.8:
            continue
        part = texture
        if a_cut > a:
            column = int(texture[0].shape[1] * (a_cut - a) / (b - a))
            part = (np.ascontiguousarray(texture[0][:, column : max(column + 4, 192)]),)
        for k in range(repeats):
            low = ends + _UP * (thing.height * k / repeats)
            high = ends + _UP * (thing.height * (k + 1) / repeats)
            canvas.quad(np.stack([high[0], high[1], low[1], low[0]]), part, shade)


def _draw_pole(canvas: Canvas, view: RoadView, thing: Pole, light: Light) -> None:
    grey: Colour = (thing.grey, thing.grey, thing.grey * 1.02)
    foot = view.to_world(thing.s, thing.u)[0]
    if foot[2] < 2.5:
        return
    top = foot + _UP * thing.height
    canvas.line(np.stack([foot, top]), thing.width, grey)
    if thing.reach:
        tip = view.to_world(thing.s, thing.u + thing.reach, thing.height + (0.4 if thing.kind == "lamp" else 0.0))[0]
        canvas.line(np.stack([top, tip]), thing.width * 0.7, grey)
        if thing.kind == "lamp" and light.lamps > 0:
            canvas.light(tip, 0.22, light.lamp_tint)
    if thing.kind == "gantry":
        end = view.to_world(thing.s, thing.u + thing.reach)[0]
        board = [np.array([t, h, 0.0]) for t, h in ((0.0, 7.9), (1.0, 7.9), (1.0, 5.4), (0.0, 5.4))]
        points = np.array([foot + (end - foot) * (0.25 + 0.75 * p[0]) + [0, p[1], 0] for p in board])
        canvas.polygon(points, (24, 92, 62))
        inner = points.mean(axis=0) + (points - points.mean(axis=0)) * np.array([0.7, 0.3, 0.7])
        canvas.polygon(inner, (196, 206, 200))
    elif thing.kind == "sign":
        r = 0.38
        turn = np.linspace(0, 2 * np.pi, 4 if int(thing.s) % 2 else 12, endpoint=False) + np.pi / 4
        ring = top + np.stack([r * np.cos(turn), r * np.sin(turn), np.zeros_like(turn)], axis=1)
        canvas.polygon(ring, ((226, 190, 40), (222, 222, 222), (190, 40, 36), (30, 90, 160))[int(thing.s) % 4])
        canvas.polygon(top + (ring - top) * 0.7, (214, 214, 212))


def _draw_bridge(canvas: Canvas, view: RoadView, cross_section: CrossSection, thing: Bridge, light: Light) -> None:
    start = max(thing.s, view.s + 1.5)
    u = np.array([-45.0, 45.0])

    def edge(s: float, h: float) -> NDArray[np.float64]:
        middle = view.to_world(s, 0.0, h)[0]
        return np.stack([middle + np.array([x, 0.0, 0.0]) for x in u])

    under = np.concatenate([edge(thing.stop, thing.low), edge(start, thing.low)[::-1]])
    canvas.polygon(under, (thing.grey * 0.3,) * 3)
    widening = cross_section.widening.amount * np.array([cross_section.sign < 0, cross_section.sign > 0])
    for at in (cross_section.left_edge - 1.2 - widening[0], cross_section.right_edge + 1.2 + widening[1], -32.0, 32.0):
        foot = view.to_world(thing.stop - 2, at)[0]
        width = np.array([0.6, 0, 0])
        if foot[2] > 3:
            pillar = np.array(
                [foot - width, foot - width + _UP * thing.low, foot + width + _UP * thing.low, foot + width]
            )
            canvas.polygon(pillar, (thing.grey * 0.55,) * 3)
    if thing.s > view.s + 1.5:
        low, high = edge(thing.s, thing.low), edge(thing.s, thing.high)
        canvas.quad(
            np.stack([high[0], high[1], low[1], low[0]]), surface("parapet"), thing.grey / 126 * _facing(light, 0)
        )

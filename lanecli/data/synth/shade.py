"""Draws cast shadows on the ground and the shade under vehicles."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.canvas import fill
from lanecli.data.synth.distractors import ground_outline
from lanecli.data.synth.light import Light
from lanecli.data.synth.road import GroundMap, RoadView
from lanecli.data.synth.scenery import Scenery
from lanecli.data.synth.textures import noise, sample_nearest
from lanecli.data.synth.vehicles import Vehicle, shadow_outline

_REACH = 130.0  # metres ahead up to which shadows are drawn
_TRUNK = np.array([0.0, 0.2])  # from the middle of a trunk's shadow to its edge
_CROWN = np.linspace(0, 2 * np.pi, 18, endpoint=False)


def shade_ground(
    view: RoadView, ground: GroundMap, light: Light, scenery: Scenery, traffic: list[tuple[Vehicle, float]]
) -> NDArray[np.float32]:
    """Return the (h, W) brightness factor of the ground, 1 in full light."""
    width, height = view.camera.size
    factor = np.ones(ground.u.shape, np.float32)
    near = [(vehicle, s) for vehicle, s in traffic if s < view.s + _REACH * 0.8]
    blur = max(3, int(width / 320) * 2 + 1)
    if light.shadow > 0.1:
        layer = np.zeros((height, width), np.uint8)
        _cast(view, light, scenery, layer)
        leafy = np.zeros((height, width), np.uint8)
        _crowns(view, light, scenery, leafy)
        if leafy.any():
            _dapple(ground, leafy)
            np.maximum(layer, leafy, out=layer)
        for vehicle, s in near:
            _fill(view, shadow_outline(vehicle, s, light.sun, True), layer)
        layer = cv2.GaussianBlur(layer[ground.top :], (blur, blur), 0)
        factor -= layer * np.float32(light.shadow / 255)
        _wall_shadow(ground, light, scenery, factor)
    under = np.zeros((height, width), np.uint8)
    for vehicle, s in near:
        _fill(view, shadow_outline(vehicle, s, (0.0, 0.0), False), under)
    if under.any():
        under = cv2.GaussianBlur(under[ground.top :], (blur + 2, blur + 2), 0)
        factor *= 1 - under * np.float32(0.78 / 255)
    return factor


def _fill(view: RoadView, outline: NDArray[np.float64], layer: NDArray[np.uint8]) -> None:
    pixels = ground_outline(view, outline)
    if pixels is not None:
        fill(layer, pixels, 255)


def _cast(view: RoadView, light: Light, scenery: Scenery, layer: NDArray[np.uint8]) -> None:
    sun = np.array(light.sun)
    for pole in scenery.poles:
        if view.s - 15 < pole.s < view.s + _REACH:
            foot, half = np.array([pole.u, pole.s]), pole.width * 0.6
            tip = foot - sun * pole.height
            side = np.array([half, half])
            _fill(view, np.stack([foot - side, tip - side, tip + side, foot + side]), layer)
            if pole.reach:
                end = tip + np.array([pole.reach, 0.0])
                thick = np.array([0.0, half])
                _fill(view, np.stack([tip - thick, end - thick, end + thick, tip + thick]), layer)
    for house in scenery.houses:
        if house.stop > view.s - 20 and house.s < view.s + _REACH:
            # only the front edge of the roof can reach the road
            front = np.array([[house.u, house.s], [house.u, house.stop]])
            thrown = front - sun * house.height
            _fill(view, np.concatenate([front, thrown[::-1]]), layer)
    for bridge in scenery.bridges:
        if bridge.stop > view.s - 10 and bridge.s < view.s + _REACH:
            at = -sun[1] * bridge.low
            near, far = bridge.s + at, bridge.stop + at
            _fill(view, np.array([[-40.0, near], [-40.0, far], [40.0, far], [40.0, near]]), layer)


def _crowns(view: RoadView, light: Light, scenery: Scenery, layer: NDArray[np.uint8]) -> None:
    sun = np.array(light.sun)
    for tree in scenery.trees:
        if not view.s - 25 < tree.s < view.s + _REACH:
            continue
        middle = np.array([tree.u, tree.s]) - sun * tree.height * 0.62
        if abs(middle[0] - view.u) > 30:
            continue
        swing = 1 + 0.2 * np.sin(3 * _CROWN + tree.s) + 0.13 * np.sin(7 * _CROWN + 2 * tree.s)
        crown = tree.height * 0.4 * swing[:, None] * np.stack([np.cos(_CROWN), np.sin(_CROWN)], axis=1)
        stretch = 1 + np.abs(sun) * 0.5
        _fill(view, middle + crown * stretch, layer)
        foot = np.array([tree.u, tree.s])
        _fill(view, np.stack([foot - _TRUNK, middle - _TRUNK, middle + _TRUNK, foot + _TRUNK]), layer)


def _dapple(ground: GroundMap, leafy: NDArray[np.uint8]) -> None:
    """Add specks of sunlight that pass through the leaves."""
    rows = leafy[ground.top :]
    inside = np.flatnonzero(rows)
    u, s = ground.u.ravel()[inside], ground.s.ravel()[inside]
    specks = sample_nearest(noise(7, 1.25), u * 15 + 5000, s * 9)
    near = np.clip(1.2 - ground.z.ravel()[inside] / 60, 0.2, 1)
    let_through = np.clip((specks - 0.55) * 2.5, 0, 0.9) * near
    flat = rows.reshape(-1)
    flat[inside] = (flat[inside] * (1 - let_through)).astype(np.uint8)


def _wall_shadow(ground: GroundMap, light: Light, scenery: Scenery, factor: NDArray[np.float32]) -> None:
    for wall in scenery.walls:
        if wall.high < 0.7 or wall.lean > 0.5 or wall.ride or wall.low > 0.3:
            continue
        tip = wall.u - light.sun[0] * wall.high
        left, right = min(wall.u, tip), max(wall.u, tip)
        if right - left < 0.1:
            continue
        soft = np.maximum(ground.u_across, 0.05)
        cover = np.clip((ground.u - left) / soft, 0, 1) * np.clip((right - ground.u) / soft, 0, 1)
        np.minimum(factor, 1 - np.float32(light.shadow) * cover, out=factor)

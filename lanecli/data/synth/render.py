"""Renders one picture of a world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth import standing
from lanecli.data.synth.air import light_up, reflect
from lanecli.data.synth.backdrop import paint_backdrop
from lanecli.data.synth.camera import Camera
from lanecli.data.synth.canvas import Canvas
from lanecli.data.synth.distractors import draw_shapes, draw_trace, draw_word
from lanecli.data.synth.lines import FOREVER
from lanecli.data.synth.markings import PaintLayer, line_points, paint_lines
from lanecli.data.synth.nuisances import draw_in_front
from lanecli.data.synth.road import VIEW, GroundMap, RoadView
from lanecli.data.synth.scene import SyntheticLane, SyntheticScene
from lanecli.data.synth.sensor import draw_bonnet, expose
from lanecli.data.synth.shade import shade_ground
from lanecli.data.synth.surface import paint_ground
from lanecli.data.synth.textures import noise, sample_nearest
from lanecli.data.synth.vehicles import Vehicle, draw_vehicle
from lanecli.data.synth.world import World, stream

_WHITE = np.array([232, 232, 228], np.float32)
_YELLOW = np.array([222, 168, 44], np.float32)
_WIDENING_STEP = 10.0  # table entries per metre


@dataclass(frozen=True)
class Pose:
    """The car's position along the road, the time, and the camera's shake (pitch and roll in radians)."""

    s: float = 0.0
    time: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    frame: int = 0


def render(world: World, size: tuple[int, int], pose: Pose) -> SyntheticScene:
    """Render the world as seen from a pose, with its mask and lane lines."""
    mount = world.mount
    camera = Camera(
        size, mount.focal * size[0], mount.height, mount.pitch + pose.pitch, mount.roll + pose.roll, mount.distortion
    )
    view = RoadView(world.shape, camera, pose.s, mount.u, mount.yaw)
    rays = camera.rays()
    ground = view.ground(*rays)
    rng = stream(world.seed, "frame", pose.frame)
    traffic = [(vehicle, vehicle.at(pose.time)) for vehicle in world.traffic]
    traffic = [(vehicle, s) for vehicle, s in traffic if view.s - 15 < s < view.s + 280]

    image = np.zeros((size[1], size[0], 3), np.uint8)
    depth = np.full((size[1], size[0]), np.inf, np.float32)
    rows = min(ground.top + _mixed_rows(ground), size[1])
    paint_backdrop(image, camera, rays, world.backdrop, world.light, view.azimuth, rows, pose.time * 0.3)
    label = _draw_ground(world, view, ground, image, depth, traffic)
    canvas = Canvas(camera, image, depth, not world.light.plain)
    _draw_things(world, view, canvas, traffic)

    lit = light_up(canvas, view, ground, rays, world.light, [p for p in world.scenery.poles if p.kind == "lamp"])
    if world.light.wet > 0.05:
        paved = (ground.u > world.cross_section.left_edge) & (ground.u < world.cross_section.right_edge) & ground.seen
        reflect(lit, canvas, view, ground, world.light, paved)
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[ground.top :] = label & (canvas.cover[ground.top :] == 0)
    if world.sensor.bonnet:
        draw_bonnet(lit, mask, world.sensor, world.nuisances)
    draw_in_front(lit, mask, world.nuisances)
    image = expose(lit, world.sensor, world.light, _sun_position(world, view), rng)
    lanes = []
    for line in world.cross_section.lines:
        points = line_points(view, world.cross_section, line, size)
        if len(points):
            lanes.append(SyntheticLane(points, line.style, line.colour))
    return SyntheticScene(image, mask, tuple(lanes), world.seed)


def _mixed_rows(ground: GroundMap) -> int:
    """Return the number of rows of the ground map that also show sky (because of roll, or above a crest)."""
    partly = np.flatnonzero(~ground.seen.all(axis=1))
    return int(partly[-1]) + 1 if partly.size else 0


def _draw_ground(
    world: World,
    view: RoadView,
    ground: GroundMap,
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    traffic: list[tuple[Vehicle, float]],
) -> NDArray[np.bool_]:
    """Paint ground, markings and shadows into the picture; return the label of the ground rows, (h, W) bool."""
    cross_section = world.cross_section
    widening = None
    if cross_section.widening.start < FOREVER:
        table = cross_section.widening.at(view.s - 60 + np.arange((VIEW + 160) * _WIDENING_STEP) / _WIDENING_STEP)
        index = ((ground.s - np.float32(view.s - 60)) * np.float32(_WIDENING_STEP)).astype(np.int32)
        widening = table.astype(np.float32).take(index, mode="clip")
    colour = paint_ground(ground, world.ground, cross_section, widening, view.s)
    _add_damage(world, view, ground, colour)
    paint = paint_lines(ground, cross_section, world.paint, widening)
    _add_symbols(world, view, ground, paint)
    spots = np.flatnonzero(paint.alpha)
    flat = colour.reshape(-1, 3)
    tone = np.where(paint.yellow.ravel()[spots, None], _YELLOW, _WHITE) * np.float32(world.paint.brightness)
    # paint picks up some of the road's own texture and dirt
    below = flat[spots]
    tone *= 0.93 + 0.07 * below.mean(axis=1, keepdims=True) / max(float(below.mean()) if spots.size else 1.0, 1.0)
    flat[spots] = below + (tone - below) * paint.alpha.ravel()[spots, None]
    factor = shade_ground(view, ground, world.light, world.scenery, traffic)
    colour *= factor[..., None]
    if world.light.shadow > 0.3:
        # shade is lit by the blue sky
        colour[..., 2] *= 1 + np.float32(0.12) * (1 - factor)
    target = image[ground.top :]
    np.copyto(target, np.clip(colour, 0, 255).astype(np.uint8), where=ground.seen[..., None])
    np.copyto(depth[ground.top :], ground.z, where=ground.seen)
    return paint.label & ground.seen


def _add_damage(world: World, view: RoadView, ground: GroundMap, colour: NDArray[np.float32]) -> None:
    shape = view.camera.size[1], view.camera.size[0]
    distractors = world.distractors
    for dark in (True, False):
        layer = np.zeros(shape, np.uint8)
        patches = [p for p in distractors.patches if (p.strength > 0) == dark]
        traces = [t for t in (*distractors.traces, *world.nuisances.traces) if (t.darkness > 0) == dark]
        if not patches and not traces:
            continue
        draw_shapes(view, patches, layer)
        for trace in traces:
            draw_trace(view, trace, layer)
        part = layer[ground.top :]
        if part.any():
            change = part * np.float32((-0.85 if dark else 0.8) / 255)
            colour *= (1 + change)[..., None]


def _add_symbols(world: World, view: RoadView, ground: GroundMap, paint: PaintLayer) -> None:
    """Add arrows, crossings and words, which are paint without a label."""
    distractors = world.distractors
    if not distractors.shapes and not distractors.words:
        return
    for yellow in (False, True):
        layer = np.zeros((view.camera.size[1], view.camera.size[0]), np.uint8)
        draw_shapes(view, distractors.shapes, layer, yellow)
        if not yellow:
            for word in distractors.words:
                draw_word(view, word, layer)
        spots = np.flatnonzero(layer[ground.top :])
        if spots.size == 0:
            continue
        alpha = layer[ground.top :].ravel()[spots] * np.float32(world.paint.opacity / 255)
        if world.paint.wear > 0:
            u, s = ground.u.ravel()[spots], ground.s.ravel()[spots]
            flakes = sample_nearest(noise(4, 0.55), u * 40 + 4000, s * 14)
            alpha *= np.clip(1.1 - (flakes - 1.9 + 2.6 * world.paint.wear) * 0.7, 0.15, 1)
        stronger = (alpha > paint.alpha.ravel()[spots]) & ~paint.label.ravel()[spots]
        paint.alpha.ravel()[spots[stronger]] = alpha[stronger]
        paint.yellow.ravel()[spots[stronger]] = yellow


def _draw_things(world: World, view: RoadView, canvas: Canvas, traffic: list[tuple[Vehicle, float]]) -> None:
    things: list[tuple[float, object, float]] = [
        (d, thing, 0.0) for d, thing in standing.steps(view, world.scenery, world.cross_section, world.light)
    ]
    for vehicle, s in traffic:
        things.append((standing.painting_order(view, world.scenery, s - view.s, vehicle.u), vehicle, s))
    things.sort(key=lambda entry: -entry[0])
    for _, thing, s in things:
        if isinstance(thing, Vehicle):
            draw_vehicle(canvas, view, thing, s, world.light)
        else:
            standing.draw(canvas, view, world.cross_section, world.light, thing)


def _sun_position(world: World, view: RoadView) -> tuple[float, float] | None:
    """Return the position of the low sun in the picture, or None if it is not ahead."""
    light = world.light
    if light.kind != "lowsun" or light.sun[1] < 0.3:
        return None
    far = 1000.0
    reach = float(np.hypot(*light.sun))
    point = np.array([[light.sun[0] / reach * far, far / max(reach * 2.2, 1.0), light.sun[1] / reach * far]])
    x, y = view.camera.project(point)[0]
    return float(x), float(y)

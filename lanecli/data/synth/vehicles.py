"""Vehicles made of a few dozen flat faces, for views from behind, in front and the side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.canvas import Canvas, Colour
from lanecli.data.synth.light import Light
from lanecli.data.synth.road import RoadView

_GLASS = (34.0, 40.0, 46.0)
_TYRE = (18.0, 18.0, 19.0)
_PAINTS = (
    (228, 228, 226), (205, 207, 210), (150, 153, 158), (92, 95, 100), (30, 31, 34), (20, 21, 23),
    (122, 22, 24), (150, 40, 34), (30, 48, 92), (44, 70, 58), (168, 158, 134), (226, 190, 60),
)  # fmt: skip
_PAINT_WEIGHTS = np.array([5, 3, 3, 3, 4, 2, 1.2, 0.8, 1.5, 0.6, 0.8, 0.15])


@dataclass(frozen=True)
class Kind:
    """Proportions of a vehicle in metres; the lower and upper ends of the cabin are measured from the rear."""

    length: float
    width: float
    height: float
    belt: float
    cabin: tuple[float, float, float, float]
    box: bool


KINDS = {
    "saloon": Kind(4.7, 1.82, 1.45, 0.98, (0.75, 1.45, 3.0, 3.7), False),
    "hatch": Kind(4.1, 1.78, 1.5, 0.98, (0.08, 0.55, 2.5, 3.2), False),
    "suv": Kind(4.7, 1.92, 1.75, 1.1, (0.06, 0.4, 2.9, 3.6), False),
    "van": Kind(5.2, 2.0, 2.2, 1.15, (0.02, 0.1, 3.6, 4.5), False),
    "pickup": Kind(5.5, 1.98, 1.85, 1.15, (2.0, 2.15, 3.5, 4.2), False),
    "lorry": Kind(9.0, 2.45, 3.6, 1.0, (0, 0, 0, 0), True),
    "bus": Kind(11.0, 2.5, 3.1, 1.0, (0, 0, 0, 0), True),
}
_KIND_WEIGHTS = np.array([5, 3, 4, 1.2, 1.2, 1.4, 0.4])


@dataclass(frozen=True)
class Vehicle:
    """One vehicle.

    `s` is the position of its rear end at time 0, or of its front end if it comes towards the camera. `direction` is +1
    if it drives in the direction of the camera. `speed` is signed, in m/s along the road.
    """

    kind: str
    s: float
    u: float
    direction: int
    speed: float
    paint: Colour
    braking: bool

    def at(self, time: float) -> float:
        """Return the distance along the road, after `time` seconds, of the end that faces the camera."""
        return self.s + self.speed * time


def choose_vehicle(
    rng: np.random.Generator, s: float, u: float, direction: int, speed: float, small: bool = False
) -> Vehicle:
    """Choose a vehicle's kind and colour at random; `small` excludes lorries and buses."""
    weights = _KIND_WEIGHTS.copy()
    if small:
        weights[5:] = 0
    kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    paint = np.array(_PAINTS[int(rng.choice(len(_PAINTS), p=_PAINT_WEIGHTS / _PAINT_WEIGHTS.sum()))], float)
    if KINDS[kind].box and rng.random() < 0.6:
        paint = np.array([215.0, 215.0, 212.0])
    colour = np.clip(paint * rng.uniform(0.8, 1.1), 0, 255)
    tone = (float(colour[0]), float(colour[1]), float(colour[2]))
    return Vehicle(kind, s, u, direction, speed, tone, bool(rng.random() < 0.25))


def shadow_outline(vehicle: Vehicle, s: float, sun: tuple[float, float], cast: bool) -> NDArray[np.float64]:
    """Return the outline (N, 2) of (u, s) of the shade under a vehicle, together with its shadow if `cast`."""
    kind = KINDS[vehicle.kind]
    half = kind.width / 2
    body = np.array([[-half, 0], [half, 0], [half, kind.length], [-half, kind.length]])
    body += np.array([vehicle.u, s])
    if not cast:
        return body
    top = body - np.array(sun) * kind.height * 0.85
    points = np.concatenate([body, top])
    return _hull(points)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = points.mean(axis=0)
    order = np.argsort(np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0]))
    ring = [points[i] for i in order]
    changed = True
    while changed and len(ring) > 3:
        changed = False
        for i in range(len(ring)):
            a, b, c = ring[i - 1], ring[i], ring[(i + 1) % len(ring)]
            if (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) <= 0:
                del ring[i]
                changed = True
                break
    return np.array(ring)


class _Painter:
    """Collects and paints faces in the vehicle's own coordinates: x right, y up, z away from the camera."""

    def __init__(self, vehicle: Vehicle, detail: int) -> None:
        self.vehicle, self.detail = vehicle, detail
        self._corners: list[tuple[float, float, float]] = []
        self._faces: list[tuple[int, Colour, bool]] = []

    def face(self, corners: list[tuple[float, float, float]], colour: Colour, solid: bool = False) -> None:
        """Add a face; those that are not solid are details, which are left out far away."""
        if solid or self.detail:
            self._corners += corners
            self._faces.append((len(corners), colour, solid))

    def paint(self, canvas: Canvas, view: RoadView, s: float) -> None:
        """Paint the faces in the order they were added."""
        p = np.array(self._corners)
        points = view.to_world(s + p[:, 2], self.vehicle.u + p[:, 0], p[:, 1])
        canvas.polygons(points, self._faces)

    def panel(self, x0: float, x1: float, y0: float, y1: float, z: float, colour: Colour, solid: bool = False) -> None:
        self.face([(x0, y0, z), (x0, y1, z), (x1, y1, z), (x1, y0, z)], colour, solid)


def draw_vehicle(canvas: Canvas, view: RoadView, vehicle: Vehicle, s: float, light: Light) -> None:
    """Paint a vehicle whose end facing the camera is at `s`."""
    kind = KINDS[vehicle.kind]
    if s + kind.length < view.s + 1.0 or s > min(view.s + 260, view.reach - 15):
        return
    if s < view.s + 2.0 and abs(vehicle.u - view.u) < 1.6:
        return
    near = view.to_world(s, vehicle.u)
    if near[0, 2] > 5 and not view.visible(near).all():
        return
    away = s - view.s
    brush = _Painter(vehicle, 2 if away < 45 else int(away < 110))
    facing = vehicle.direction > 0
    side = -1 if vehicle.u > view.u else 1
    sunny = 1.0 if light.shadow < 0.2 else (1.1 if light.sun[0] * side > 0 else 0.7)
    rear_lit = 0.9 if light.shadow < 0.2 else (0.72 if light.sun[1] > 0 else 1.08)
    if kind.box:
        _draw_box(brush, kind, side, sunny, rear_lit, facing)
    else:
        _draw_car(brush, kind, side, sunny, rear_lit, facing)
    brush.paint(canvas, view, s)
    if light.night or light.level < 0.6:
        _lamps(canvas, view, vehicle, kind, s, facing)


def _tone(colour: Colour, factor: float) -> Colour:
    return (min(colour[0] * factor, 255), min(colour[1] * factor, 255), min(colour[2] * factor, 255))


def _wheels(brush: _Painter, kind: Kind, side: int, radius: float) -> None:
    if brush.detail < 2:
        return
    half = kind.width / 2
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False).tolist()
    for z in (kind.length * 0.19, kind.length * 0.81):
        for r, colour in ((radius, _TYRE), (radius * 0.58, (84.0, 86.0, 90.0))):
            ring = [(side * half * 1.005, radius + r * math.sin(a), z + r * math.cos(a)) for a in turn]
            brush.face(ring, colour, solid=r == radius)


def _draw_car(brush: _Painter, kind: Kind, side: int, sunny: float, rear_lit: float, facing: bool) -> None:
    paint = brush.vehicle.paint
    half, belt, height, length = kind.width / 2, kind.belt, kind.height, kind.length
    ends = kind.cabin if facing else tuple(length - c for c in reversed(kind.cabin))
    low_near, high_near, high_far, low_far = ends
    roof = half * 0.78
    body = _tone(paint, sunny)
    # tyres below the body
    for sign in (-1, 1):
        brush.panel(sign * half * 0.95, sign * half * 0.66, 0.0, 0.45, 0.25, _TYRE, True)
    brush.panel(-half * 0.9, half * 0.9, 0.2, 0.5, 0.3, (14, 14, 15), True)
    x = side * half
    brush.face(
        [(x, 0.28, 0.1), (x, belt * 0.85, 0.0), (x, belt, 0.12), (x, belt, length - 0.3), (x, belt * 0.7, length),
         (x, 0.28, length - 0.05)], body, True)  # fmt: skip
    brush.face(
        [(x, 0.28, 0.1), (x, 0.42, 0.05), (x, 0.42, length - 0.05), (x, 0.28, length - 0.05)],
        _tone(paint, sunny * 0.55),
    )
    top = belt * 0.94
    brush.face(
        [(x, belt * 0.86, 0.05), (x, top, 0.1), (x, top, length - 0.3), (x, belt * 0.84, length - 0.1)],
        _tone(paint, sunny * 1.2),
    )
    _wheels(brush, kind, side, 0.33 if kind.height < 1.6 else 0.37)
    # deck between the near end and the cabin, and the far bonnet or boot
    brush.face([(-half, belt, 0.1), (half, belt, 0.1), (half, belt, length - 0.3), (-half, belt, length - 0.3)],
               _tone(paint, 1.12), True)  # fmt: skip
    xr, xb = side * roof, side * half * 0.96
    brush.face([(xb, belt, low_near), (xr, height, high_near), (xr, height, high_far), (xb, belt, low_far)], body, True)
    mid = (belt + height) / 2
    xm = side * (half * 0.96 + roof) / 2
    inner = 0.12
    window = [
        (xb * 0.998, belt + 0.04, low_near + inner + 0.15),
        (xm + (xr - xm) * 0.7, mid + (height - mid) * 0.7, high_near + inner),
        (xm + (xr - xm) * 0.7, mid + (height - mid) * 0.7, high_far - inner),
        (xb * 0.998, belt + 0.04, low_far - inner - 0.2),
    ]
    brush.face(window, _GLASS)
    roof_corners = ((-roof, high_near), (roof, high_near), (roof, high_far), (-roof, high_far))
    brush.face([(across, height, z) for across, z in roof_corners], _tone(paint, 1.15), True)
    # near window with its frame
    brush.face([(-half * 0.96, belt, low_near), (-roof, height, high_near), (roof, height, high_near),
                (half * 0.96, belt, low_near)], _tone(paint, rear_lit * 0.95), True)  # fmt: skip
    rise, run = height - belt, high_near - low_near

    def pane(x0: float, t: float) -> tuple[float, float, float]:
        wide = half * 0.96 + (roof - half * 0.96) * t
        return (x0 * wide, belt + rise * t, low_near + run * t)

    brush.face([pane(-0.86, 0.1), pane(-0.86, 0.85), pane(0.86, 0.85), pane(0.86, 0.1)], _GLASS)
    brush.face([pane(-0.3, 0.45), pane(-0.5, 0.85), pane(0.5, 0.85), pane(0.1, 0.45)], (62, 72, 82))
    _near_end(brush, half, belt, paint, rear_lit, facing)


def _near_end(brush: _Painter, half: float, belt: float, paint: Colour, rear_lit: float, facing: bool) -> None:
    """Add the boot lid or the front of the bonnet, with bumper, lights and number plate."""
    brush.face(
        [(-half * 0.93, 0.28, 0.0), (-half, 0.45, 0.0), (-half * 0.99, belt * 0.85, 0.0), (-half * 0.92, belt, 0.06),
         (half * 0.92, belt, 0.06), (half * 0.99, belt * 0.85, 0.0), (half, 0.45, 0.0), (half * 0.93, 0.28, 0.0)],
        _tone(paint, rear_lit), True)  # fmt: skip
    brush.panel(-half * 0.97, half * 0.97, belt * 0.9, belt * 0.97, 0.0, _tone(paint, rear_lit * 1.25))
    brush.panel(-half * 0.99, half * 0.99, 0.44, 0.56, -0.01, _tone(paint, rear_lit * 0.78))
    brush.panel(-half * 0.97, half * 0.97, 0.53, 0.56, -0.01, _tone(paint, rear_lit * 1.1))
    brush.panel(-half * 0.9, half * 0.9, 0.28, 0.38, -0.01, (28, 28, 30))
    high, low = belt * 0.9, belt * 0.72
    for sign in (-1, 1):
        if facing:
            lamp: Colour = (206, 30, 26) if brush.vehicle.braking else (112, 18, 18)
        else:
            lamp = (226, 228, 230)
        brush.panel(sign * half * 0.98, sign * half * 0.66, low, high, -0.01, lamp)
    if not facing:
        brush.panel(-half * 0.55, half * 0.55, 0.5, 0.72, -0.01, (30, 30, 32))
    brush.panel(-0.26, 0.26, 0.58, 0.70, -0.02, (206, 204, 190))


def _draw_box(brush: _Painter, kind: Kind, side: int, sunny: float, rear_lit: float, facing: bool) -> None:
    paint = brush.vehicle.paint
    half, height, length = kind.width / 2, kind.height, kind.length
    x = side * half
    for sign in (-1, 1):
        brush.panel(sign * half * 0.98, sign * half * 0.5, 0.0, 0.95, 0.4, _TYRE, True)
    brush.panel(-half * 0.9, half * 0.9, 0.4, 0.9, 0.6, (22, 22, 24), True)
    brush.face(
        [(x, 0.75, 0.0), (x, height, 0.0), (x, height, length), (x, 0.75, length)], _tone(paint, sunny * 0.95), True
    )
    _wheels(brush, kind, side, 0.5)
    brush.panel(-half, half, 0.75, height, 0.0, _tone(paint, rear_lit * 0.9), True)
    bus = brush.vehicle.kind == "bus"
    if bus or not facing:
        brush.panel(-half * 0.88, half * 0.88, height * 0.52, height * 0.86, -0.01, _GLASS)
        if bus:
            low, high, out = height * 0.5, height * 0.82, x * 1.002
            brush.face([(out, low, 0.4), (out, high, 0.4), (out, high, length - 0.4), (out, low, length - 0.4)], _GLASS)
    else:
        brush.panel(-0.025, 0.025, 0.8, height * 0.97, -0.01, (80, 80, 82))
        brush.panel(-half, half, height * 0.96, height, -0.01, (90, 90, 92))
    brush.panel(-half, half, 0.55, 0.78, -0.01, (42, 42, 44), True)
    for sign in (-1, 1):
        lamp = (180.0, 24.0, 22.0) if facing else (228.0, 228.0, 220.0)
        brush.panel(sign * half * 0.95, sign * half * 0.78, 0.6, 0.82, -0.02, lamp)


def _lamps(canvas: Canvas, view: RoadView, vehicle: Vehicle, kind: Kind, s: float, facing: bool) -> None:
    y = 0.75 if kind.box else kind.belt * 0.8
    red = (1.0, 0.10, 0.06) if vehicle.braking else (0.55, 0.05, 0.03)
    colour = red if facing else (1.0, 0.96, 0.86)
    points = view.to_world(s, vehicle.u + np.array([-1, 1]) * kind.width * 0.41, y)
    for point in points:
        canvas.light(point, 0.10 if facing else 0.13, colour)

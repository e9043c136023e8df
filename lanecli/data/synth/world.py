"""Everything in a scene, derived from one seed, in metres and independent of the picture's size."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from lanecli.data.synth.backdrop import Backdrop, make_backdrop
from lanecli.data.synth.cross_section import CrossSection, choose_region, make_cross_section, mirrored
from lanecli.data.synth.distractors import Distractors, make_distractors, mirrored_distractors
from lanecli.data.synth.light import Light, make_light
from lanecli.data.synth.markings import Paint
from lanecli.data.synth.nuisances import Nuisances, make_nuisances
from lanecli.data.synth.road import RoadShape
from lanecli.data.synth.scenery import Scenery, make_scenery, mirrored_scenery
from lanecli.data.synth.sensor import Sensor, make_sensor
from lanecli.data.synth.surface import Ground, make_ground
from lanecli.data.synth.vehicles import KINDS, Vehicle, choose_vehicle

_STILL_LENGTH = 300.0
_DAMAGE_REACH = 170.0  # metres of road with distractors in a still picture
_NOMINAL_ASPECT = 9 / 16  # aspect ratio for which the horizon's height is chosen


@dataclass(frozen=True)
class Mount:
    """The camera's focal length in picture widths, and its mounting in the car in metres and radians."""

    focal: float
    height: float
    pitch: float
    roll: float
    distortion: float
    u: float
    yaw: float


@dataclass(frozen=True)
class World:
    """A road and everything on it; `speed` is that of the own car in m/s."""

    seed: int
    cross_section: CrossSection
    shape: RoadShape
    light: Light
    ground: Ground
    paint: Paint
    backdrop: Backdrop
    scenery: Scenery
    distractors: Distractors
    traffic: tuple[Vehicle, ...]
    mount: Mount
    sensor: Sensor
    speed: float
    nuisances: Nuisances


def stream(seed: int, name: str, *more: int) -> np.random.Generator:
    """Return the random stream of a seed with the given name, which is independent of all others."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *more])


def make_world(seed: int, length: float = _STILL_LENGTH, clip: bool = False) -> World:
    """Make a world of `length` metres; for a `clip` it is a daylight road outside town with a good camera."""
    rng = stream(seed, "world")
    region = choose_region(rng)
    if clip:
        region = ("us_highway", "us_highway", "us_highway", "eu_motorway")[seed % 4]
    cross_section = make_cross_section(stream(seed, "layout"), region, plain=clip)
    light = make_light(stream(seed, "light"), region, "clear" if clip else None)
    speed = float(rng.uniform(6, 16) if region.endswith("city") else rng.uniform(20, 31))
    if clip:
        speed = float(rng.uniform(25, 29))
    surface = length if clip else _DAMAGE_REACH
    scenery = make_scenery(stream(seed, "scenery"), cross_section, length, plain=clip)
    distractors = make_distractors(stream(seed, "distractors"), cross_section, surface, plain=clip)
    if cross_section.sign < 0:
        cross_section, scenery, distractors = (
            mirrored(cross_section),
            mirrored_scenery(scenery),
            mirrored_distractors(distractors),
        )
    ground = make_ground(stream(seed, "ground"), cross_section)
    paint = _paint(stream(seed, "paint"), light, clip)
    nuisances = Nuisances() if clip else make_nuisances(stream(seed, "nuisances"), cross_section, scenery, light)
    if ground.joints:  # old paint is hardly brighter than concrete
        paint = replace(paint, opacity=paint.opacity * nuisances.fade)
    return World(
        seed=seed,
        cross_section=cross_section,
        shape=_shape(stream(seed, "shape"), region, clip),
        light=light,
        ground=ground,
        paint=paint,
        backdrop=make_backdrop(stream(seed, "backdrop"), region),
        scenery=scenery,
        distractors=distractors,
        traffic=_traffic(stream(seed, "traffic"), cross_section, length, speed, clip),
        mount=_mount(stream(seed, "mount"), cross_section, clip),
        sensor=make_sensor(stream(seed, "sensor"), light, plain=clip),
        speed=speed,
        nuisances=nuisances,
    )


def _shape(rng: np.random.Generator, region: str, clip: bool) -> RoadShape:
    tight = {"us_highway": 900, "eu_motorway": 1000, "rural": 260, "us_city": 300, "uk_city": 200, "cn_city": 500}[
        region
    ]
    if clip:
        tight = 2500
    bend = float(rng.choice([0.0, 0.35, 1.0], p=[0.4, 0.35, 0.25])) / tight
    constant = bend * float(rng.normal(0, 0.7)) if not clip else 0.0
    bends = tuple(
        (bend * float(rng.normal(0, 0.6)), float(rng.uniform(*span)), float(rng.uniform(0, 6.3)))
        for span in ((120, 300), (300, 900))
    )
    if clip:
        bends = ((1 / 2600, float(rng.uniform(500, 800)), float(rng.uniform(0, 6.3))),)
    steep = float(abs(rng.normal(0, 0.014))) * (0.4 if clip else 1.0)
    hills = ((steep, float(rng.uniform(180, 700)), float(rng.uniform(0, 6.3))),)
    return RoadShape(constant, bends, hills)


def _paint(rng: np.random.Generator, light: Light, clip: bool) -> Paint:
    wear = float(rng.choice([0.0, rng.uniform(0.1, 0.5), rng.uniform(0.5, 0.9)], p=[0.35, 0.4, 0.25]))
    if clip:
        wear = float(rng.uniform(0, 0.25))
    missing = float(rng.uniform(0.02, 0.2)) if wear > 0.5 and rng.random() < 0.5 else 0.0
    retro = 1.35 if light.night else 1.0
    opacity = float(rng.uniform(0.9, 1.0) if clip else rng.uniform(0.6, 1.0))
    brightness = retro * float(rng.uniform(1.02, 1.06) if clip else rng.uniform(0.84, 1.05))
    return Paint(opacity, wear, missing, brightness, int(rng.integers(512)))


def _mount(rng: np.random.Generator, cross_section: CrossSection, clip: bool) -> Mount:
    focal = float(np.exp(rng.uniform(np.log(0.6), np.log(1.3))))
    height = float(np.clip(rng.normal(1.45, 0.2), 1.1, 2.4))
    horizon = float(np.clip(rng.normal(0.47, 0.07), 0.28, 0.64))
    side = float(np.clip(rng.normal(0, 0.35), -1, 1))
    if rng.random() < 0.08:
        side = float(rng.uniform(-0.5, 0.5)) * cross_section.lane_width  # changing lanes
    yaw, roll = float(rng.normal(0, 0.028)), float(rng.normal(0, 0.012))
    bulge = float(rng.uniform(0, 0.07)) if rng.random() < 0.5 else 0.0
    if clip:
        focal, height, horizon = (
            float(rng.uniform(0.82, 0.98)),
            float(rng.uniform(1.3, 1.5)),
            float(rng.uniform(0.52, 0.58)),
        )
        side, yaw, roll, bulge = side * 0.3, 0.0, 0.0, 0.0
    pitch = float(np.arctan((0.5 - horizon) * _NOMINAL_ASPECT / focal))
    return Mount(focal, height, pitch, roll, bulge, side, yaw)


def _traffic(
    rng: np.random.Generator, cross_section: CrossSection, length: float, own: float, clip: bool
) -> tuple[Vehicle, ...]:
    vehicles: list[Vehicle] = []
    city = cross_section.region.endswith("city")
    busy = float(rng.choice([0.25, 0.8, 2.0], p=[0.45, 0.4, 0.15]))
    if clip:
        busy = 0.9
    mean_gap = 45.0 / busy
    for number, (u, direction) in enumerate(cross_section.lanes):
        lane = rng.spawn(1)[0]
        ours = abs(u) < 0.5
        speed = direction * own * (1.0 if ours else float(lane.uniform(0.8, 1.25)))
        first = float(lane.uniform(7, 60)) if ours else float(lane.uniform(-50, 30))
        if clip and ours:
            first = float(lane.uniform(45, 75))
        s = first
        ends = length + (length if direction < 0 and clip else 0)
        while s < ends:
            shift = float(lane.normal(0, 0.25))
            vehicle = choose_vehicle(lane, s, u + shift, direction, speed, small=clip and ours)
            vehicles.append(vehicle)
            s += KINDS[vehicle.kind].length + 4.0 + float(lane.exponential(mean_gap)) * (1.0 if number else 1.3)
    if city:
        for edge, side in ((cross_section.right_edge, 1), (cross_section.left_edge, -1)):
            lane = rng.spawn(1)[0]
            if lane.random() < 0.45:
                s = float(lane.uniform(2, 20))
                while s < length:
                    u = edge - side * float(lane.normal(0.5, 0.15))
                    vehicles.append(choose_vehicle(lane, s, u, int(lane.choice([1, side])), 0.0, small=True))
                    s += 5.6 + float(lane.exponential(lane.choice([1.5, 12.0])))
        crossing = cross_section.crossing
        vehicles = [v for v in vehicles if not crossing - 5 < v.s < crossing + 16 or v.speed]
    return tuple(replace(v, braking=v.braking or busy > 2) for v in vehicles)

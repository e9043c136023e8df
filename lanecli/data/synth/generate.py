"""Renders scenes and clips from a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lanecli.data.synth.render import Pose, render
from lanecli.data.synth.scene import SyntheticScene
from lanecli.data.synth.world import make_world, stream
from lanecli.errors import InputError

_SMALLEST, _LARGEST = 32, 8192
_CLIP_BLOCK = 3000.0  # metres; a clip's world is a multiple of this long, so that longer clips begin alike
_SHAKES = ((0.9, 0.0009), (2.3, 0.0005), (5.1, 0.00025))  # Hz and radians of the car's pitching


def render_scene(seed: int, size: tuple[int, int] = (960, 540)) -> SyntheticScene:
    """Render the road scene of a seed. The same seed gives the same bytes, and the same scene at other sizes.

    Args:
        seed: the seed, at least 0.
        size: width and height in pixels, each 32 to 8192.

    Raises:
        InputError: the seed is negative, or the size cannot be rendered.

    Example:
        >>> scene = render_scene(0, (64, 36))
        >>> scene.image.shape, scene.mask.shape
        ((36, 64, 3), (36, 64))
    """
    seed, size = _check(seed, size)
    return render(make_world(seed), size, Pose())


def render_clip(
    seed: int, frames: int, fps: float = 25.0, size: tuple[int, int] = (960, 540)
) -> Iterator[SyntheticScene]:
    """Yield the frames of a drive through one world, in daylight outside town.

    Args:
        seed: the seed, at least 0.
        frames: number of frames.
        fps: frames per second, above 0.
        size: width and height in pixels, each 32 to 8192.

    Raises:
        InputError: the arguments cannot be rendered.
    """
    seed, size = _check(seed, size)
    if isinstance(frames, bool) or not isinstance(frames, (int, np.integer)) or frames < 1:
        raise InputError(f"clip of {frames!r} frames: give a whole number of at least 1")
    if not (np.isfinite(fps) and fps > 0):
        raise InputError(f"clip at {fps!r} frames per second: give a number above 0")
    return _drive(seed, int(frames), float(fps), size)


def _drive(seed: int, frames: int, fps: float, size: tuple[int, int]) -> Iterator[SyntheticScene]:
    needed = 31.0 * frames / fps + 600
    world = make_world(seed, float(np.ceil(needed / _CLIP_BLOCK) * _CLIP_BLOCK), clip=True)
    rng = stream(seed, "shake")
    phases = rng.uniform(0, 2 * np.pi, (2, len(_SHAKES)))
    for frame in range(frames):
        time = frame / fps
        turns = [2 * np.pi * hertz * time for hertz, _ in _SHAKES]
        pitch = sum(a * np.sin(t + p) for t, p, (_, a) in zip(turns, phases[0], _SHAKES, strict=True))
        roll = sum(0.7 * a * np.sin(0.8 * t + p) for t, p, (_, a) in zip(turns, phases[1], _SHAKES, strict=True))
        yield render(world, size, Pose(world.speed * time, time, float(pitch), float(roll), frame))


def _check(seed: int, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed {seed!r}: give a whole number of at least 0")
    try:
        width, height = size
    except (TypeError, ValueError):
        raise InputError(f"size {size!r}: give width and height in pixels") from None
    for value in (width, height):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or not _SMALLEST <= value <= _LARGEST:
            raise InputError(f"size {size!r}: width and height must be whole numbers from {_SMALLEST} to {_LARGEST}")
    return int(seed), (int(width), int(height))

"""A dataset of procedural road scenes on disk: pictures, exact masks, lane lines, and a video of one drive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from lanecli import atomic
from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.data.synth import SyntheticScene, render_clip, render_scene
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Size
from lanecli.labelmaps import label_map
from lanecli.media import Frame, VideoSettings, VideoWriter, write_mask, write_picture
from lanecli.ownership import is_lock, owned
from lanecli.workers import in_order, worker_pool

FRAME_RATE = 25


def _one(number: int, folder: Path, size: Size, seed: int) -> tuple[str, list[int]]:
    return _write(render_scene(seed + number, size), number, folder)


def _write(scene: SyntheticScene, number: int, folder: Path) -> tuple[str, list[int]]:
    """Write a scene's picture and mask; its line of lanes.jsonl and its pixel counts come back."""
    name = f"{number:06d}"
    write_picture(folder / "images" / f"{name}.jpg", scene.image, quality=93)
    write_mask(folder / "masks" / f"{name}.png", scene.mask)
    lanes = [
        {"style": lane.style, "colour": lane.colour, "points": np.round(lane.points, 2).tolist()}
        for lane in scene.lanes
    ]
    line = json.dumps({"image": f"images/{name}.jpg", "seed": scene.seed, "lanes": lanes})
    return line, np.bincount(scene.mask.ravel(), minlength=2).tolist()


def _start_worker() -> None:
    cv2.setNumThreads(0)


def _drive(folder: Path, count: int, size: Size, seed: int, video: Path) -> Iterator[tuple[str, list[int]]]:
    with VideoWriter(video, VideoSettings(size, FRAME_RATE, preset="medium", crf=21, threads=2)) as writer:
        for number, scene in enumerate(render_clip(seed, count, FRAME_RATE, size)):
            result = _write(scene, number, folder)
            writer.write(Frame.from_rgb(scene.image, number, number, Fraction(1, FRAME_RATE)))
            yield result


def synthesise(
    folder: Path,
    *,
    count: int,
    size: Size = (960, 540),
    seed: int = 0,
    video: bool = False,
    val: float = 0.1,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Path | None:
    """Render `count` scenes into a prepared dataset (label map `lane`).

    Same arguments, same bytes, whatever the number of workers. ``lanes.jsonl`` holds each picture's lane lines.

    Args:
        folder: written to; it must be empty or not there.
        count: scenes, or frames of the drive.
        size: of the pictures.
        seed: of the first scene; the following ones count up.
        video: one drive through one world at 25 frames a second, and ``video.mp4`` of it.
        val: share of scenes (of the drive: its last part) in the val split.
        workers: processes; None is one a core.
        progress: told how many are done.

    Returns:
        The video's path, if there is one.

    Raises:
        InputError: the folder holds something, or cannot be written.
    """
    with owned(folder):
        if not all(map(is_lock, folder.iterdir())):
            raise InputError(f"{folder} is not empty; name a new folder")
        return _synthesise(folder, count, size, seed, video, val, workers, progress)


def _synthesise(
    folder: Path,
    count: int,
    size: Size,
    seed: int,
    video: bool,
    val: float,
    workers: int | None,
    progress: Callable[[int], None],
) -> Path | None:
    target = folder / "video.mp4" if video else None
    lines: list[str] = []
    totals = {"train": np.zeros(2, int), "val": np.zeros(2, int)}
    held_out = round(val * count)
    samples = []

    def take(results: Iterator[tuple[str, list[int]]]) -> None:
        for number, (line, counts) in enumerate(results):
            split = "val" if number >= count - held_out else "train"
            totals[split] += counts
            lines.append(line)
            name = f"{number:06d}"
            images, masks = folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png"
            samples.append(Sample(images, masks, split, "drive" if video else name))
            progress(number + 1)

    if target is not None:
        take(_drive(folder, count, size, seed, target))
    else:
        render = partial(_one, folder=folder, size=size, seed=seed)
        with worker_pool(workers, begin=_start_worker) as pool:
            take(in_order(pool, render, range(count)))
    atomic.write(folder / "lanes.jsonl", "".join(line + "\n" for line in lines).encode())
    lane = label_map("lane")
    counts = {split: dict(zip(lane.names, map(int, n), strict=True)) for split, n in totals.items() if n.any()}
    write_dataset(DatasetInfo(folder, tuple(samples), lane, Geometry(), counts, "synth"))
    return target

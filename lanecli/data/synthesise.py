"""Writes a dataset of procedural road scenes: pictures, exact masks, lane lines, and a video of one drive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from lanecli import atomic
from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.data.scene_record import SceneEntry, SceneRecord, scene_files
from lanecli.data.synth import SyntheticScene, render_clip, render_scene
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Size
from lanecli.labelmaps import label_map
from lanecli.media import Frame, VideoSettings, VideoWriter, write_mask, write_picture
from lanecli.ownership import is_lock, owned
from lanecli.workers import in_order, worker_pool

FRAME_RATE = 25


def _render_one(number: int, folder: Path, size: Size, seed: int) -> SceneEntry:
    return _write_scene(render_scene(seed + number, size), number, folder)


def _write_scene(scene: SyntheticScene, number: int, folder: Path) -> SceneEntry:
    image, mask = scene_files(folder, number)
    write_picture(image, scene.image, quality=93)
    write_mask(mask, scene.mask)
    lanes = [
        {"style": lane.style, "colour": lane.colour, "points": np.round(lane.points, 2).tolist()}
        for lane in scene.lanes
    ]
    line = json.dumps({"image": f"images/{image.name}", "seed": scene.seed, "lanes": lanes})
    return line, np.bincount(scene.mask.ravel(), minlength=2).tolist()


def _start_worker() -> None:
    cv2.setNumThreads(0)


def _render_drive(folder: Path, count: int, size: Size, seed: int, video: Path) -> Iterator[SceneEntry]:
    with VideoWriter(video, VideoSettings(size, FRAME_RATE, preset="medium", crf=21, threads=2)) as writer:
        for number, scene in enumerate(render_clip(seed, count, FRAME_RATE, size)):
            result = _write_scene(scene, number, folder)
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
    """Render `count` scenes into a prepared dataset with label map `lane`.

    The same arguments give the same bytes, whatever the number of workers. ``lanes.jsonl`` holds the lane lines of each
    picture. If a run with the same arguments was stopped in `folder`, it is resumed after its last scene, while a drive
    starts again.

    Args:
        folder: the folder to write to; it must be new, empty, or hold an unfinished run with the same arguments.
        count: number of scenes, or of frames of the drive.
        size: (width, height) of the pictures.
        seed: seed of the first scene; the others count up from it.
        video: whether to render one drive through one world at 25 frames per second, and ``video.mp4`` of it.
        val: share of the scenes that are in the val split; they are the last ones.
        workers: number of processes; None for one per core.
        progress: called with the number of scenes that are done.

    Returns:
        The path of the video, or None.

    Raises:
        InputError: the folder holds other files or cannot be written to, or the arguments cannot be rendered.
    """
    settings = {"count": count, "size": list(size), "seed": seed, "video": video, "val": val}
    with owned(folder):
        atomic.remove_leftovers(folder)
        record = SceneRecord(folder, settings)
        if record.has_other_settings:
            raise InputError(
                f"{folder}: holds an unfinished run with other settings; use the same settings to resume it, or give a "
                "new folder"
            )
        if not record.has_same_settings and not all(map(is_lock, folder.iterdir())):
            raise InputError(f"{folder}: is not empty; give a new folder")
        if video:  # frames cannot be encoded from JPEG pictures without loss
            record.scenes.clear()
        record.begin()
        try:
            target = _synthesise(record, folder, count, size, seed, video, val, workers, progress)
        except InputError:  # scenes that cannot be rendered
            if not record.scenes:
                record.close()
            raise
        record.close()
        return target


def _synthesise(
    record: SceneRecord,
    folder: Path,
    count: int,
    size: Size,
    seed: int,
    video: bool,
    val: float,
    workers: int | None,
    progress: Callable[[int], None],
) -> Path | None:
    """Render the scenes that are not in the record, and then write the files that make the folder a dataset."""
    target = folder / "video.mp4" if video else None

    def take(scenes: Iterator[SceneEntry]) -> None:
        for scene in scenes:
            record.add(scene)
            progress(len(record.scenes))

    if record.scenes:
        progress(len(record.scenes))
    if target is not None:
        take(_render_drive(folder, count, size, seed, target))
    elif len(record.scenes) < count:
        render = partial(_render_one, folder=folder, size=size, seed=seed)
        with worker_pool(workers, begin=_start_worker) as pool:
            take(in_order(pool, render, range(len(record.scenes), count)))
    atomic.write(folder / "lanes.jsonl", "".join(line + "\n" for line, _ in record.scenes))
    write_dataset(_describe(folder, record.scenes, count - round(val * count), video))
    return target


def _describe(folder: Path, scenes: Sequence[SceneEntry], held_out_from: int, video: bool) -> DatasetInfo:
    totals = {"train": np.zeros(2, int), "val": np.zeros(2, int)}
    samples = []
    for number, (_, counts) in enumerate(scenes):
        split = "val" if number >= held_out_from else "train"
        totals[split] += counts
        image, mask = scene_files(folder, number)
        samples.append(Sample(image, mask, split, "drive" if video else image.stem))
    lane = label_map("lane")
    pixel_counts = {split: dict(zip(lane.names, map(int, n), strict=True)) for split, n in totals.items() if n.any()}
    return DatasetInfo(folder, tuple(samples), lane, Geometry(), pixel_counts, "synth")

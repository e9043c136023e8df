"""A dataset of procedural road scenes on disk: pictures, exact masks, lane lines, and a video of one drive."""

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
from lanecli.data.scene_record import SceneRecord, Written, scene_files
from lanecli.data.synth import SyntheticScene, render_clip, render_scene
from lanecli.errors import InputError
from lanecli.geometry import Geometry, Size
from lanecli.labelmaps import label_map
from lanecli.media import Frame, VideoSettings, VideoWriter, write_mask, write_picture
from lanecli.ownership import is_lock, owned
from lanecli.workers import in_order, worker_pool

FRAME_RATE = 25


def _one(number: int, folder: Path, size: Size, seed: int) -> Written:
    return _write(render_scene(seed + number, size), number, folder)


def _write(scene: SyntheticScene, number: int, folder: Path) -> Written:
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


def _drive(folder: Path, count: int, size: Size, seed: int, video: Path) -> Iterator[Written]:
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

    Same arguments, same bytes, whatever the number of workers. ``lanes.jsonl`` holds each picture's lane lines. Where
    the same was begun in `folder` and stopped, it goes on behind the last scene; a drive is made anew.

    Args:
        folder: written to; it must be empty, not there, or hold what was begun with the same arguments.
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
    settings = {"count": count, "size": list(size), "seed": seed, "video": video, "val": val}
    with owned(folder):
        atomic.remove_leftovers(folder)
        record = SceneRecord(folder, settings)
        if record.theirs:
            raise InputError(f"{folder}: was begun with other settings; go on with those, or name a new folder")
        if not record.ours and not all(map(is_lock, folder.iterdir())):
            raise InputError(f"{folder} is not empty; name a new folder")
        if video:  # pictures in the folder have lost what its frames are encoded from
            record.written.clear()
        record.begin()
        try:
            target = _synthesise(record, folder, count, size, seed, video, val, workers, progress)
        except InputError:  # scenes that cannot be rendered
            if not record.written:
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
    """Render what `record` has not; then write what makes the folder a dataset."""
    target = folder / "video.mp4" if video else None

    def take(scenes: Iterator[Written]) -> None:
        for scene in scenes:
            record.add(scene)
            progress(len(record.written))

    if record.written:
        progress(len(record.written))
    if target is not None:
        take(_drive(folder, count, size, seed, target))
    elif len(record.written) < count:
        render = partial(_one, folder=folder, size=size, seed=seed)
        with worker_pool(workers, begin=_start_worker) as pool:
            take(in_order(pool, render, range(len(record.written), count)))
    atomic.write(folder / "lanes.jsonl", "".join(line + "\n" for line, _ in record.written))
    write_dataset(_described(folder, record.written, count - round(val * count), video))
    return target


def _described(folder: Path, written: Sequence[Written], held_out_from: int, video: bool) -> DatasetInfo:
    totals = {"train": np.zeros(2, int), "val": np.zeros(2, int)}
    samples = []
    for number, (_, counts) in enumerate(written):
        split = "val" if number >= held_out_from else "train"
        totals[split] += counts
        image, mask = scene_files(folder, number)
        samples.append(Sample(image, mask, split, "drive" if video else image.stem))
    lane = label_map("lane")
    named = {split: dict(zip(lane.names, map(int, n), strict=True)) for split, n in totals.items() if n.any()}
    return DatasetInfo(folder, tuple(samples), lane, Geometry(), named, "synth")

"""Extracts every N-th frame of a video as a picture for labelling, named by its number in the video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lanecli.errors import InputError
from lanecli.media import VideoReader, write_picture

_QUALITY = 95


def write_frames(
    video: Path, out: Path, every: int, overwrite: bool = False, progress: Callable[[int], object] = lambda done: None
) -> list[Path]:
    """Write frames 0, `every`, 2 · `every` … of a video as upright pictures ``<name of the video>_000000.jpg`` ….

    From these names `prepare` knows that the pictures are from one recording.

    Args:
        video: the video file.
        out: the folder for the pictures.
        every: distance between the frames that are written.
        overwrite: whether existing pictures are replaced.
        progress: called with the number of pictures that are written.

    Returns:
        The pictures that were written.

    Raises:
        InputError: the video does not exist or has no frame, or a picture exists already.
    """
    if not video.is_file():
        raise InputError(f"{video}: no such video" if not video.exists() else f"{video}: is not a video file")
    written = []
    with VideoReader(video, every=every) as reader:
        for frame in reader:
            path = out / f"{video.stem}_{frame.index * every:06d}.jpg"
            write_picture(path, frame.rgb(), quality=_QUALITY, overwrite=overwrite)
            written.append(path)
            progress(len(written))
    if not written:
        raise InputError(f"{video}: holds no frame")
    return written

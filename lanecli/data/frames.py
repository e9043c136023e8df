"""Pictures out of a video, to be labelled: every so-manieth frame, named by its place in the video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lanecli.errors import InputError
from lanecli.media import VideoReader, write_picture

_QUALITY = 95


def write_frames(
    video: Path, out: Path, every: int, overwrite: bool = False, progress: Callable[[int], object] = lambda done: None
) -> list[Path]:
    """Write frames 0, `every`, 2 · `every` … of a video as ``<video's name>_000000.jpg`` …, upright.

    The names tell `prepare` that the pictures are of one recording.

    Args:
        video: the file.
        out: the folder.
        every: one frame of so many.
        overwrite: replace pictures that are there.
        progress: told how many pictures are written.

    Returns:
        The pictures written.

    Raises:
        InputError: no such video, or a picture that is there already.
    """
    if not video.is_file():
        raise InputError(f"{video}: no such video" if not video.exists() else f"{video}: is no video file")
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

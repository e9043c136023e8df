"""Reads a camera by its number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType

import cv2

from lanecli.errors import InputError
from lanecli.media.colour import FROM_RGB
from lanecli.media.frame import Frame
from lanecli.media.orientation import UPRIGHT
from lanecli.media.sources import Source
from lanecli.media.video_reader import VideoInfo, VideoReader

_TIME_BASE = Fraction(1, 90_000)


class CameraReader:
    """Iterates over the frames of a camera until it stops; timestamps are times of arrival, from zero.

    Args:
        number: the camera's number, from 0.
        every: yield every N-th frame only.

    Raises:
        InputError: there is no such camera, or it gives no picture.
    """

    def __init__(self, number: int, *, every: int = 1) -> None:
        self.every = every
        self.skipped_frames = 0
        self.truncated = False
        self.clock = None
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._capture = cv2.VideoCapture(number)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            raise InputError(f"camera {number}: cannot be opened; is it plugged in, and may this user read it?")
        size = (int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        rate = Fraction(self._capture.get(cv2.CAP_PROP_FPS) or 30).limit_denominator(1001)
        self.info = VideoInfo(
            size, rate, _TIME_BASE, None, None, UPRIGHT, "camera", "bgr24", False, FROM_RGB, Fraction(1)
        )

    @property
    def frame_rate(self) -> Fraction:
        """Average rate of the frames that are yielded."""
        return self.info.frame_rate / self.every

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of fault so far."""
        return [f"{self.skipped_frames} corrupt frames were skipped"] if self.skipped_frames else []

    def __iter__(self) -> Iterator[Frame]:
        start, number = time.monotonic(), 0
        while self._capture.grab():
            pts = round((time.monotonic() - start) / _TIME_BASE)
            if number % self.every == 0:
                done, bgr = self._capture.retrieve()
                if done:
                    yield Frame.from_rgb(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), number // self.every, pts, _TIME_BASE)
                else:
                    self.skipped_frames += 1
            number += 1

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()

    def __enter__(self) -> CameraReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_video(source: Source | str, *, every: int = 1) -> VideoReader | CameraReader:
    """Return a reader for a video file, a stream URL or a camera number.

    Raises:
        InputError: the source cannot be opened, or gives no frame.
    """
    if isinstance(source, Source):
        kind, path = source.kind, source.path
    else:
        kind, path = ("camera" if source.isascii() and source.isdigit() else "video"), source
    return CameraReader(int(path), every=every) if kind == "camera" else VideoReader(path, every=every)

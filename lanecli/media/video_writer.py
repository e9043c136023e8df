"""Writes H.264 video that browsers play, with the source's timestamps and sound; an interruption loses nothing."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer

from lanecli import atomic
from lanecli.errors import InputError, LaneError
from lanecli.media.audio import AudioCopier
from lanecli.media.camera import CameraReader
from lanecli.media.clock import Clock
from lanecli.media.colour import FROM_RGB, Colour
from lanecli.media.frame import Frame, native_planes
from lanecli.media.mark import OUTPUT_MARK
from lanecli.media.video_reader import VideoReader

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_LARGEST_TIMESCALE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How a video is encoded.

    Attributes:
        size: (width, height) of the frames.
        frame_rate: average frames per second, exact.
        time_base: seconds per unit of the frames' pts; by default the duration of a frame.
        colour: colour tags of the frames, copied into the stream.
        pixel_aspect: width of a pixel over its height.
        crf: x264's constant rate factor, 0 (lossless) to 51; 23 is its default.
        preset: x264's preset. ultrafast takes a third of the CPU time of superfast and makes files 1.3 times as large.
        threads: encoder threads. One leaves the other cores to the network.
        output: whether to mark the file as an output of lanecli, which is never read as a source.
    """

    size: tuple[int, int]
    frame_rate: Fraction | int
    time_base: Fraction | None = None
    colour: Colour = FROM_RGB
    pixel_aspect: Fraction = Fraction(1)
    crf: int = 23
    preset: str = "ultrafast"
    threads: int = 1
    output: bool = False

    @classmethod
    def like(cls, reader: VideoReader | CameraReader, **changes: Any) -> VideoSettings:
        """Return settings for an output with the size, rate, time base and colours of a reader, and with `changes`."""
        info = reader.info
        same = cls(info.size, reader.frame_rate, info.time_base, info.colour, info.pixel_aspect, output=True)
        return replace(same, **changes)


class VideoWriter:
    """Writes frames as H.264 (yuv420p) with exact timestamps.

    - A frame keeps its `pts` and `time_base`, so that a variable frame rate survives. If the source lacks frames (a gap
      in a constant-rate video, a skipped corrupt frame), the frame before is shown for longer, and sound and picture
      stay together. A frame without pts follows the frame before by one frame of `frame_rate`; a pts that does not rise
      is raised to one unit after the one before. The last frame is shown for its own `duration`.
    - There are no B-frames: frames are stored in the order in which they are written.
    - H.264 4:2:0 has only even sizes: an odd width or height is rounded up, and the last column or row repeated.
    - The file is written under a temporary name in the same folder and renamed by `close`. Leaving the `with` block
      through an exception or Ctrl-C also finishes the file, with the sound cut to the same length. Without a frame
      there is no file.
    - All frames are kept, whatever is wrong with the sound: sound that cannot be repaired is left out.

        with VideoReader(path) as reader, VideoWriter.like(reader, out, audio_from=path) as writer:
            for frame in reader:
                canvas = writer.canvas(frame)   # writable until write
                painter.paint(canvas, class_map)
                writer.write(canvas)

    Args:
        path: the file to write: .mp4, .m4v, .mov or .mkv.
        settings: how to encode it.
        audio_from: a video whose sound is copied, or encoded to AAC if MP4 cannot hold its codec.
        clock: that of the `VideoReader` of the picture, if the sound is from the same file; both are repaired alike.
        overwrite: replace an existing file.

    Attributes:
        frames: number of frames written.

    Raises:
        InputError: the file exists, its folder cannot be written, or its suffix or size is not supported.
    """

    def __init__(
        self,
        path: str | Path,
        settings: VideoSettings,
        *,
        audio_from: str | Path | None = None,
        clock: Clock | None = None,
        overwrite: bool = True,
    ) -> None:
        self.path = Path(path)
        self.settings = settings
        self.size = size = settings.size
        self.frames = 0
        self._time_base = Fraction(settings.time_base or 1 / Fraction(settings.frame_rate))
        self._step = max(1, round(1 / (settings.frame_rate * self._time_base)))
        self._last_pts: int | None = None
        self._end = 0
        self._lock = threading.Lock()
        self._audio: AudioCopier | None = None
        self._output: OutputContainer | None = None
        container = _FORMATS.get(self.path.suffix.lower())
        if container is None:
            raise InputError(f"{self.path}: video is written as {', '.join(_FORMATS)}, not '{self.path.suffix}'")
        if min(size) < 4 or max(size) > 16384:
            raise InputError(f"{self.path}: a video of {size[0]}x{size[1]} pixels cannot be encoded as H.264")
        atomic.prepare_target(self.path, overwrite=overwrite)
        self._pending = atomic.file(self.path)
        options = {}
        if container != "matroska":
            options["movflags"] = "+faststart"
            if self._time_base.numerator == 1 and self._time_base.denominator <= _LARGEST_TIMESCALE:
                options["video_track_timescale"] = str(self._time_base.denominator)
        try:
            self._output = av.open(
                "file:" + os.fspath(self._pending.path), "w", format=container, container_options=options
            )
            if settings.output:
                self._output.metadata["comment"] = OUTPUT_MARK
            self._stream = self._add_stream(self._output)
            if audio_from is not None:
                self._audio = AudioCopier(audio_from, self._output, mp4=container != "matroska", picture=clock)
            self._output.start_encoding()
        except BaseException as error:
            self._discard()
            if isinstance(error, (av.error.FFmpegError, ValueError)):
                raise LaneError(f"{self.path}: the video cannot be set up ({error})") from error
            raise
        # One I420 frame of even size serves for all, as x264 copies its input. PyAV allocates it, as from_numpy_buffer
        # would read a height of 270 as 268.
        self._native = av.VideoFrame(self._stream.width, self._stream.height, "yuv420p")
        self._luma, *self._chroma = native_planes(self._native, writable=True)
        self._canvas: Frame | None = None

    @classmethod
    def like(
        cls,
        reader: VideoReader | CameraReader,
        path: str | Path,
        *,
        audio_from: str | Path | None = None,
        overwrite: bool = True,
        **changes: Any,
    ) -> VideoWriter:
        """Return a writer for a reader's frames, whose file is marked as an output of lanecli.

        Args:
            reader: gives the size, rate, time base, colours and clock.
            path: the file to write.
            audio_from: as for the class.
            overwrite: as for the class.
            **changes: settings that differ, by their names in `VideoSettings`.
        """
        settings = VideoSettings.like(reader, **changes)
        return cls(path, settings, audio_from=audio_from, clock=reader.clock, overwrite=overwrite)

    @property
    def warnings(self) -> list[str]:
        """One line for everything left out or changed, such as sound that could not be copied."""
        return self._audio.warnings if self._audio is not None else []

    def _add_stream(self, output: OutputContainer) -> av.VideoStream:
        settings, colour = self.settings, self.settings.colour
        options = {"preset": settings.preset, "crf": str(settings.crf), "bf": "0"}
        if settings.preset == "ultrafast":
            # The deblocking filter takes 5 % more CPU time, for 6 % less size and 1 dB more.
            options["x264-params"] = "deblock=1,0,0:rc-lookahead=0"
        stream = output.add_stream("libx264", rate=Fraction(settings.frame_rate), options=options)
        stream.width, stream.height = ((side + 1) // 2 * 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.flags |= Flags.frame_duration.value  # keeps the duration of the last frame
        context.thread_count = settings.threads
        context.color_range = colour.range
        context.colorspace = colour.matrix
        context.color_primaries = colour.primaries
        context.color_trc = colour.transfer
        if settings.pixel_aspect != 1:
            context.sample_aspect_ratio = settings.pixel_aspect
        return stream

    def canvas(self, frame: Frame) -> Frame:
        """Return a writable copy of a planar frame in the encoder's own memory, to draw on and then to `write`.

        There is only one such frame, which the next `canvas` or the `write` of another frame overwrites. For an RGB
        frame it returns the frame itself, or a copy if it is read-only.
        """
        if not frame.is_planar:
            return frame if frame.writable else frame.copy()
        self._check(frame)
        width, height = self.size
        views = (self._luma[:height, :width], self._chroma[0], self._chroma[1])
        for target, source in zip(views, frame.planes, strict=True):
            np.copyto(target, source)
        self._canvas = Frame.from_planes(
            *views, frame.index, frame.pts, frame.time_base, duration=frame.duration, colour=frame.colour
        )
        return self._canvas

    def write(self, frame: Frame) -> None:
        """Encode one frame of the writer's size.

        Raises:
            LaneError: the size differs, the writer is closed, or the disk is full.
        """
        with self._lock:
            if self._output is None:
                raise LaneError(f"{self.path}: the video is closed already")
            if frame is not self._canvas:
                frame = self.canvas(frame if frame.is_planar else _as_planes(frame))
            self._repeat_edges()
            native = self._native
            native.pts = self._next_pts(frame)
            native.time_base = self._time_base
            native.duration = self._duration(frame)
            self._last_pts, self._end = native.pts, native.pts + native.duration
            try:
                self._output.mux(self._stream.encode(native))
                if self._audio is not None:
                    self._audio.advance(native.pts * self._time_base)
            except (av.error.FFmpegError, OSError) as error:
                raise LaneError(f"{self.path}: cannot be written ({error.strerror})") from error
            self.frames += 1

    def _check(self, frame: Frame) -> None:
        if frame.size != self.size:
            raise LaneError(
                f"{self.path}: frame {frame.index} is {frame.size[0]}x{frame.size[1]}, "
                f"the video {self.size[0]}x{self.size[1]}"
            )

    def _repeat_edges(self) -> None:
        """Fill the column and the row by which an odd size is rounded up."""
        width, height = self.size
        if width % 2:
            self._luma[:height, width] = self._luma[:height, width - 1]
        if height % 2:
            self._luma[height] = self._luma[height - 1]

    def _next_pts(self, frame: Frame) -> int:
        follow = 0 if self._last_pts is None else self._last_pts + self._step
        if frame.pts is None:
            return follow
        pts = frame.pts
        if frame.time_base is not None and frame.time_base != self._time_base:
            pts = round(pts * frame.time_base / self._time_base)
        return pts if self._last_pts is None or pts > self._last_pts else self._last_pts + 1

    def _duration(self, frame: Frame) -> int:
        """Return the units for which a frame is shown; only that of the last frame has an effect."""
        if not frame.duration or frame.time_base is None:
            return self._step
        return max(1, round(frame.duration * frame.time_base / self._time_base))

    def close(self, *, interrupted: bool = False) -> None:
        """Finish the file and rename it to its final name. It may be called twice.

        Args:
            interrupted: whether the source was not read to its end, so that the sound is cut as the picture is.
        """
        with self._lock:
            if self._output is None:
                return
            if self._last_pts is None:  # no frame
                self._discard()
                return
            try:
                self._output.mux(self._stream.encode(None))
                if self._audio is not None:
                    self._audio.close(self._end * self._time_base if interrupted else None)
                self._output.close()
                self._output = None
                self._pending.commit()
            except BaseException as error:
                self._discard()
                if isinstance(error, (av.error.FFmpegError, OSError)):
                    raise LaneError(f"{self.path}: cannot be finished ({error.strerror})") from error
                raise

    def _discard(self) -> None:
        output, self._output = self._output, None
        try:
            if output is not None:
                output.close()
        except (av.error.FFmpegError, OSError):
            pass
        finally:
            if self._audio is not None:
                self._audio.abandon()
            self._pending.discard()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(interrupted=error is not None)


def _as_planes(frame: Frame) -> Frame:
    """Convert an RGB frame to I420 in BT.601 limited range, the only conversion that cv2 has."""
    rgb = frame.rgb()
    height, width = rgb.shape[:2]
    even = (
        cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE) if height % 2 or width % 2 else rgb
    )
    stacked = cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420)
    rows, half = even.shape[0], (even.shape[0] // 2, even.shape[1] // 2)
    chroma = stacked[rows:].reshape(2, *half)
    return Frame.from_planes(
        stacked[:height, :width],
        chroma[0],
        chroma[1],
        frame.index,
        frame.pts,
        frame.time_base,
        duration=frame.duration,
        colour=FROM_RGB,
    )

"""Writing video: H.264 a browser plays, the source's own timestamps, its sound, nothing lost on an interrupt."""

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
        frame_rate: Average frames per second, exact.
        time_base: Seconds per unit of the frames' pts; by default one frame.
        colour: Colour tags of the frames, copied into the stream.
        pixel_aspect: Width of a pixel over its height.
        crf: x264's quality, 0 (lossless) to 51; 23 is its default.
        preset: x264's preset. ultrafast costs a third of the CPU time of superfast, at 1.3 times the size.
        threads: Encoder threads. One leaves the other cores to the network.
        output: The file says of itself that it is lanecli's own output, which is never taken as a source.
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
        """The size, rate, time base and colours of a reader's frames, for an output; `changes` replace any of them."""
        info = reader.info
        same = cls(info.size, reader.frame_rate, info.time_base, info.colour, info.pixel_aspect, output=True)
        return replace(same, **changes)


class VideoWriter:
    """Writes frames as H.264 (yuv420p) with exact timestamps.

    - A frame's `pts` and `time_base` come out as they came in: variable frame rate survives, and where the source lacks
      frames (a gap in a constant-rate video, a skipped corrupt frame) the one before is shown for longer, so that
      sound and picture stay together. A frame without pts follows the one before by one frame of `frame_rate`; a pts
      not above the one before is moved up to one unit after it. The last frame is shown for its own `duration`.
    - No B-frames: frames come out in the order they go in.
    - H.264 4:2:0 has even sizes only: an odd width or height is rounded up and the last column or row repeated.
    - Written under a temporary name in the same folder and renamed by `close`. Leaving the `with` block through an
      exception or Ctrl-C also finalises what has been written, with the sound up to there. No frame, no file.
    - Whatever is wrong with the sound, all frames are kept: sound that cannot be mended is left out.

        with VideoReader(path) as reader, VideoWriter.like(reader, out, audio_from=path) as writer:
            for frame in reader:
                canvas = writer.canvas(frame)   # writable, lent until write
                painter.paint(canvas, class_map)
                writer.write(canvas)

    Args:
        path: The file to write: .mp4, .m4v, .mov or .mkv.
        settings: How it is encoded.
        audio_from: A video whose sound is copied, packet by packet; encoded to AAC where MP4 cannot hold its codec.
        clock: The clock of the picture's `VideoReader`, where the sound is of the same file: the two are mended alike.
        overwrite: Replace an existing file.

    Attributes:
        frames: Number of frames written.

    Raises:
        InputError: The file exists, its folder cannot be written in, its suffix or the size is not possible.
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
        # I420, rounded up to even sizes. x264 copies what it is given, so one frame serves for all. It is allocated by
        # PyAV and filled plane by plane: from_numpy_buffer would take a height of 270 for one of 268.
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
        """A writer of a reader's frames, marked as lanecli's own output.

        Args:
            reader: Whose size, rate, time base, colours and clock the video has.
            path: The file to write.
            audio_from: As for the class.
            overwrite: As for the class.
            **changes: Settings that differ, as `VideoSettings` names them.
        """
        settings = VideoSettings.like(reader, **changes)
        return cls(path, settings, audio_from=audio_from, clock=reader.clock, overwrite=overwrite)

    @property
    def warnings(self) -> list[str]:
        """One line for each thing left out or changed, such as sound that could not be copied."""
        return self._audio.warnings if self._audio is not None else []

    def _add_stream(self, output: OutputContainer) -> av.VideoStream:
        settings, colour = self.settings, self.settings.colour
        options = {"preset": settings.preset, "crf": str(settings.crf), "bf": "0"}
        if settings.preset == "ultrafast":
            # The deblocking filter costs 5 % of CPU time and gives back 6 % of size and 1 dB.
            options["x264-params"] = "deblock=1,0,0:rc-lookahead=0"
        stream = output.add_stream("libx264", rate=Fraction(settings.frame_rate), options=options)
        stream.width, stream.height = ((side + 1) // 2 * 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.flags |= Flags.frame_duration.value  # the last frame's own duration comes out as it went in
        context.thread_count = settings.threads
        context.color_range = colour.range
        context.colorspace = colour.matrix
        context.color_primaries = colour.primaries
        context.color_trc = colour.transfer
        if settings.pixel_aspect != 1:
            context.sample_aspect_ratio = settings.pixel_aspect
        return stream

    def canvas(self, frame: Frame) -> Frame:
        """A writable copy of a planar frame in the encoder's own memory: draw on it, then `write` it.

        There is one such frame: it is lent until the next `canvas` or `write` of another. An RGB frame is its own
        canvas (or a copy of it where it is read-only).
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
            LaneError: The size differs, the writer is closed, or the disk is full.
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
        """Fill the column and row an odd size is rounded up by."""
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
        """Units a frame is shown for, of which the last one's counts."""
        if not frame.duration or frame.time_base is None:
            return self._step
        return max(1, round(frame.duration * frame.time_base / self._time_base))

    def close(self, *, interrupted: bool = False) -> None:
        """Finish the file and give it its name. Safe to call twice.

        Args:
            interrupted: The source was not read to its end: sound is cut to the picture's length.
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
    """An RGB frame as I420, BT.601 limited range (the one conversion cv2 has)."""
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

"""Reads video with exact timestamps and upright frames; what is damaged is skipped and counted."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType

from lanecli.errors import InputError
from lanecli.media.clock import Clock
from lanecli.media.colour import RANGE_FULL, UNSPECIFIED, Colour
from lanecli.media.container import (
    DAMAGE,
    clock_may_jump,
    interruptible,
    is_url,
    no_frame_message,
    open_container,
    opening_error,
    start_offset,
)
from lanecli.media.encryption import ENCRYPTED
from lanecli.media.frame import Frame
from lanecli.media.orientation import UPRIGHT, Orientation
from lanecli.media.picture_header import MAX_PIXELS

_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")  # Matroska's, of one stream
_DEMUX_RETRIES = 8
_THREADED_PIXELS = 1_500_000  # below this, one thread decodes faster than the network computes, with the least CPU
# Codecs with exactly one frame in each packet, so that a packet without a frame is a lost one.
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "mjpeg", "prores", "dnxhd", "av1", "ffv1", "rawvideo"}


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known about a video before its frames are read.

    Attributes:
        size: (width, height) of the upright frames.
        frame_rate: average frames per second, exact.
        time_base: seconds per unit of the frames' pts.
        frames: number of frames that the file declares, or else an estimate from its duration, or else None.
        duration: seconds, or None if unknown, as for a live stream.
        orientation: how the stored frames are mirrored and turned to stand upright.
        codec: FFmpeg's name of the codec.
        pixel_format: FFmpeg's name of the stored pixel format.
        has_audio: whether there is sound to copy.
        colour: colour tags of the frames that are yielded.
        pixel_aspect: width of a pixel over its height, upright; 1 for square ones.
    """

    size: tuple[int, int]
    frame_rate: Fraction
    time_base: Fraction
    frames: int | None
    duration: float | None
    orientation: Orientation
    codec: str
    pixel_format: str
    has_audio: bool
    colour: Colour
    pixel_aspect: Fraction


class VideoReader:
    """Iterates over the frames of a video file or stream URL, upright, with exact timestamps.

    A frame or packet that cannot be decoded is skipped and counted in `skipped_frames`, except for packets that are
    already missing in a damaged Matroska file or transport stream. A file that ends too early gives what can be read,
    and sets `truncated`. Timestamps are those of the file (see `start_offset` for sources with an arbitrary clock),
    repaired if the clock jumps, repeats or is missing (see `Clock`).

        with VideoReader("drive.mp4") as reader:
            for frame in reader:
                ...

    Args:
        source: a path, or a URL such as rtsp://….
        every: yield every N-th frame only, starting with the first.
        threads: decoder threads; by default one for small frames and one per core for large ones.

    Attributes:
        info: what is known before reading.
        clock: the clock of the picture, which the sound follows.

    Raises:
        InputError: the source is missing, empty, not a video, without a video stream, encrypted, or cut short before
            its first frame.
    """

    def __init__(self, source: str | Path, *, every: int = 1, threads: int | None = None) -> None:
        if every < 1:
            raise InputError(f"every N-th frame needs an N of at least 1, got {every}")
        self.source = os.fspath(source)
        self.every = every
        self.skipped_frames = 0
        self.truncated = False
        self._lock = threading.Lock()  # the container must not be closed while another thread decodes
        self._closed = False
        self._container = open_container(source)
        try:
            self._stream = _video_stream(self._container, self.source)
            _check_is_not_encrypted(self._stream, self.source)
            self._context = self._stream.codec_context
            pixels = self._context.width * self._context.height
            if pixels > MAX_PIXELS:
                raise InputError(
                    f"{self.source}: frames of {self._context.width}x{self._context.height} pixels are more than the "
                    f"{MAX_PIXELS // 10**6} million allowed"
                )
            self._context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may change its size
            count = threads if threads is not None else (0 if pixels > _THREADED_PIXELS else 1)
            self._context.thread_count = count
            self._context.thread_type = "SLICE" if count == 1 else "AUTO"
            self._slanted = self._interlaced = False
            self.clock = Clock(self._stream.time_base or Fraction(1, 1000), 1)  # until more is known
            self._decoded = self._decode()
            self._first = (
                interruptible(lambda: next(self._decoded, None)) if is_url(self.source) else next(self._decoded, None)
            )
            if self._first is None:
                raise InputError(f"{self.source}: {no_frame_message(self.source)}")
            self.info = self._describe(self._first)
        except BaseException as error:
            self._container.close()
            if isinstance(error, av.error.FFmpegError):
                raise InputError(f"{self.source}: {opening_error(self.source, error)}") from error
            if isinstance(error, DAMAGE):
                raise InputError(f"{self.source}: is damaged ({type(error).__name__}: {error})") from error
            raise
        unit = self.info.time_base
        self.clock = Clock(
            unit,
            round(1 / (self.info.frame_rate * unit)),
            origin=round(start_offset(self._container) / unit),
            may_jump=clock_may_jump(self._container),
        )

    @property
    def frame_rate(self) -> Fraction:
        """Average rate of the frames that are yielded: that of the file, divided by `every`."""
        return self.info.frame_rate / self.every

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of fault found so far, with what was done about it."""
        lines = list(self.clock.warnings("picture"))
        if self._slanted:
            lines.append(
                "the display matrix is neither a quarter turn nor a mirror image: frames are used as they are stored"
            )
        if self.truncated:
            lines.append("the video is cut short: the output has the frames that could be read")
        if self.skipped_frames:
            lines.append(f"{self.skipped_frames} corrupt frames were skipped")
        return lines

    def __iter__(self) -> Iterator[Frame]:
        native = self._first
        self._first = None
        number = 0
        while native is not None:
            duration = native.duration or None
            pts = self.clock.repair(native.pts, duration)
            if number % self.every == 0:
                try:
                    planar = _as_i420(native, self.info)
                except DAMAGE:  # a size or format that no picture has
                    planar = None
                    self.skipped_frames += 1
                if planar is not None:
                    frame = Frame.from_native(planar, number // self.every, colour=self.info.colour)
                    frame = frame.upright(self.info.orientation)
                    frame.pts, frame.time_base = pts, self.info.time_base
                    frame.duration = duration and duration * self.every
                    yield frame
            number += 1
            with self._lock:
                native = None if self._closed else next(self._decoded, None)

    def close(self) -> None:
        """Close the file; an iteration in another thread ends. Frames that were yielded stay valid.

        A stream that waits for a network in another thread is left to its own time-out after a second.
        """
        self._closed = True
        if self._lock.acquire(timeout=1 if is_url(self.source) else -1):
            try:
                self._decoded.close()
                self._container.close()
            finally:
                self._lock.release()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Yield every frame that can be decoded, in order, and count the others."""
        packets = discarded = decoded = 0
        end, cut = Fraction(0), False
        for packet in self._packets():
            if packet.size:
                packets += 1
                discarded += packet.is_discard
                cut = packet.is_corrupt  # a demuxer marks a packet that the end of the file cuts off
                if packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.has_sidedata("encryption_info"):  # some decoders return pictures of it nevertheless
                self.skipped_frames += 1
                continue
            try:
                frames = packet.decode()
            except DAMAGE:
                self.skipped_frames += 1
                continue
            for native in frames:
                decoded += 1
                self._interlaced |= native.interlaced_frame
                if native.is_corrupt:
                    self.skipped_frames += 1
                else:
                    yield native
        if not decoded:
            return
        promised = self._stream.frames
        mp4 = self._container.format.name.startswith("mov")
        self.truncated |= cut or (mp4 and packets < promised) or self._ends_early(end)
        # Two packets make one frame of field-coded pictures, so that lost frames cannot be counted.
        if self._context.name in _ONE_FRAME_PER_PACKET and not self._interlaced:
            expected = packets if self.truncated else max(packets, promised)
            self.skipped_frames = max(self.skipped_frames, expected - discarded - decoded)

    def _ends_early(self, end: Fraction) -> bool:
        """Return whether the last packet ends well before the duration that the file declares."""
        stream = self._stream
        if self.clock.jumps:  # then the declared duration is wrong too
            return False
        if stream.duration is not None:
            declared = (stream.duration + (stream.start_time or 0)) * stream.time_base
        elif (tag := _DURATION_TAG.match(stream.metadata.get("DURATION", ""))) is not None:
            hours, minutes, seconds = (Fraction(part) for part in tag.groups())
            declared = (hours * 60 + minutes) * 60 + seconds
        elif self._container.duration is not None and not self._container.streams.audio:
            declared = Fraction(self._container.duration, 1_000_000)
        else:
            return False
        return declared - end > max(3 / _frame_rate(stream), Fraction(1, 5))

    def _packets(self) -> Iterator[av.Packet]:
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except DAMAGE:
                failures += 1
                if failures > _DEMUX_RETRIES:
                    self.truncated = True
                    break
        flush = av.Packet()
        flush.stream = self._stream
        yield flush

    def _describe(self, native: av.VideoFrame) -> VideoInfo:
        stream = self._stream
        rate = _frame_rate(stream)
        time_base = native.time_base or stream.time_base or 1 / rate
        duration = None
        if stream.duration is not None:
            duration = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            duration = self._container.duration / 1e6
        orientation = self._orientation(native)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return VideoInfo(
            size=orientation.size((native.width, native.height)),
            frame_rate=rate,
            time_base=time_base,
            frames=stream.frames or (round(duration * rate) if duration else None),
            duration=duration,
            orientation=orientation,
            codec=self._context.name,
            pixel_format=native.format.name,
            has_audio=bool(self._container.streams.audio),
            colour=_colour(native),
            pixel_aspect=1 / aspect if orientation.swaps_sides else aspect,
        )

    def _orientation(self, native: av.VideoFrame) -> Orientation:
        matrix = native.side_data.get(SideDataType.DISPLAYMATRIX)
        if matrix is None:
            return UPRIGHT
        orientation = Orientation.from_display_matrix(bytes(matrix))
        self._slanted = orientation is None
        return orientation or UPRIGHT


def _frame_rate(stream: av.VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)


def _video_stream(container: InputContainer, name: str) -> av.VideoStream:
    for stream in container.streams.video:
        # Cover art of a music file is a video stream too.
        if stream.codec_context is not None and not int(stream.disposition) & 0x400:
            return stream
    raise InputError(f"{name}: has no video stream that can be decoded")


def _check_is_not_encrypted(stream: av.VideoStream, name: str) -> None:
    """Refuse encrypted Matroska, of which some decoders return pictures nevertheless."""
    if "enc_key_id" in stream.metadata:
        raise InputError(f"{name}: {ENCRYPTED}")


def _colour(native: av.VideoFrame) -> Colour:
    """Return the colour tags of a frame after its conversion to yuv420p."""
    full = native.format.name.startswith("yuvj") or native.color_range == RANGE_FULL
    if native.format.is_rgb or native.format.name.startswith(("gray", "mono", "pal8")):
        return Colour(6, 1, int(native.color_primaries), int(native.color_trc))
    span = RANGE_FULL if full else int(native.color_range)
    matrix = int(native.colorspace) if int(native.colorspace) != 0 else UNSPECIFIED
    return Colour(matrix, span, int(native.color_primaries), int(native.color_trc))


def _as_i420(native: av.VideoFrame, info: VideoInfo) -> av.VideoFrame:
    """Return the frame as yuv420p in the first frame's size; the frame itself if it is that already."""
    size = info.orientation.size(info.size)
    same_size = (native.width, native.height) == size
    if (
        same_size
        and native.format.name in ("yuv420p", "yuvj420p")
        and all(plane.line_size > 0 for plane in native.planes)
    ):
        return native
    space, span = info.colour.swscale
    if native.format.is_rgb or native.format.name.startswith(("gray", "mono", "pal8")):
        source_span = 2 if int(native.color_range) != 1 else 1
    else:
        source_span = span
    converted = native.reformat(
        width=size[0],
        height=size[1],
        format="yuv420p",
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=source_span,
        dst_color_range=span,
        threads=1,
    )
    converted.pts, converted.time_base = native.pts, native.time_base
    return converted

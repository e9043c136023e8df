"""Copies the sound of a video to a new video."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer

from lanecli.media.clock import Clock
from lanecli.media.container import DAMAGE, clock_may_jump, open_container, start_offset

# Codecs that browsers and players accept in MP4; others are encoded to AAC.
_PLAYABLE_IN_MP4 = {"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "flac", "alac"}
_TOGETHER = 1  # seconds; jumps of two clocks that are closer are one jump of the recording
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


class AudioCopier:
    """Copies the audio streams of one file into an output container, packet by packet, beside the picture.

    Packets are copied unchanged if the container can hold their codec, and encoded to AAC otherwise; a stream for which
    neither works is left out and named in `warnings`. Only the current packets are in memory.

    If the clock of the sound jumps, the sound is moved: by the same time as the picture if the picture's clock jumps
    with it, and otherwise so that no gap arises. No fault of the sound makes the picture fail, except a full disk.

    Args:
        source: the video to copy the sound of.
        output: the container to write to, before its header is written.
        mp4: whether the container is MP4 or MOV.
        picture: the clock of the picture, from a `VideoReader` of the same file.
    """

    def __init__(self, source: str | Path, output: OutputContainer, *, mp4: bool, picture: Clock | None = None) -> None:
        self._messages: list[str] = []
        self._output = output
        self._picture = picture
        self._input = open_container(source)
        self._tracks: dict[int, _Track] = {}
        for stream in self._input.streams.audio:
            self._add(stream, mp4)
        wanted = [stream for stream in self._input.streams.audio if stream.index in self._tracks]
        self._packets: Iterator[av.Packet] = iter(self._input.demux(*wanted)) if wanted else iter(())
        self._next: av.Packet | None = None
        apart = start_offset(self._input, "audio") - start_offset(self._input)
        if wanted and abs(apart) > _TOGETHER:
            self._messages.append(
                f"the clock of the sound starts {float(abs(apart)):.2f} s {'after' if apart > 0 else 'before'} the "
                "picture's: in the output both start together"
            )

    @property
    def warnings(self) -> list[str]:
        """One line for each stream or stretch that was left out or changed."""
        lines = [*self._messages, *(line for track in self._tracks.values() for line in track.warnings())]
        return list(dict.fromkeys(lines))

    def _add(self, stream: AudioStream, mp4: bool) -> None:
        if stream.codec_context is None:
            self._messages.append(f"audio stream {stream.index}: unknown codec, left out")
            return
        name = stream.codec_context.name
        clock = self._clock(stream)
        if not mp4 or name in _PLAYABLE_IN_MP4:
            try:
                self._tracks[stream.index] = _Track(stream.index, clock, self._output.add_stream_from_template(stream))
                return
            except (ValueError, av.error.FFmpegError):
                pass
        try:
            encoder = self._output.add_stream("aac", rate=stream.codec_context.sample_rate)
            encoder.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
            self._tracks[stream.index] = _Track(stream.index, clock, encoder, encodes=True)
            self._messages.append(f"audio stream {stream.index}: {name} cannot be stored in MP4, encoded to AAC")
        except (ValueError, av.error.FFmpegError) as error:
            self._messages.append(f"audio stream {stream.index}: {name} cannot be copied ({error}), left out")

    def _clock(self, stream: AudioStream) -> Clock:
        context = stream.codec_context
        unit = stream.time_base or Fraction(1, context.sample_rate or 48_000)
        length = Fraction(context.frame_size or 1024, context.sample_rate or 48_000)
        origin = start_offset(self._input, "audio")
        return Clock(unit, round(length / unit), origin=round(origin / unit), may_jump=clock_may_jump(self._input))

    def advance(self, until: Fraction) -> None:
        """Write the packets that begin by `until`, the time in seconds that the picture in the output has reached."""
        self._write_until(until, None)

    def close(self, until: Fraction | None = None) -> None:
        """Write the remaining packets, until `until` seconds if it is given, and close the source."""
        try:
            self._write_until(None, until)
            for track in self._tracks.values():
                track.flush(self._output)
        finally:
            self._input.close()

    def abandon(self) -> None:
        """Close the source without writing more."""
        self._input.close()

    def _write_until(self, reached: Fraction | None, end: Fraction | None) -> None:
        limit = reached if reached is not None else end
        while (packet := self._peek()) is not None:
            track = self._tracks[packet.stream.index]
            raw = packet.dts if packet.dts is not None else packet.pts
            if raw is None:
                if packet.size == 0:  # the empty packet that ends a stream
                    self._next = None
                    continue
                begin: Fraction | None = track.clock.expected * track.clock.time_base
            else:
                begin = self._begin(track.clock, raw, reached, interrupted=end is not None)
            if begin is None or (limit is not None and begin > limit):
                return
            self._next = None
            track.write(packet, raw, self._output)

    def _begin(self, clock: Clock, raw: int, reached: Fraction | None, *, interrupted: bool) -> Fraction | None:
        """Return when the packet at timestamp `raw` begins, in seconds, or None if only later pictures can tell.

        Args:
            clock: the clock of its stream.
            raw: its timestamp.
            reached: the time that the picture has reached, or None if the picture is finished.
            interrupted: whether the picture ended before its source.
        """
        unit = clock.time_base
        jump = clock.jump_at(raw)
        if not jump:
            return clock.preview(raw) * unit
        expected = clock.expected * unit
        jumps = list(self._picture.jumps) if self._picture is not None else []
        nearest = min((each.offset for each in jumps), key=lambda by: abs(raw * unit + by - expected), default=None)
        if nearest is not None and abs(raw * unit + nearest - expected) < _TOGETHER:
            clock.set_offset(round(nearest / unit))  # moved by the same time as the picture, the two stay together
            return clock.preview(raw) * unit
        if reached is not None:
            if jump > 0 and clock.preview(raw) * unit <= reached:  # the picture has no jump: it is a gap in the sound
                clock.accept_gap(raw)
                return clock.preview(raw) * unit
            if jump > 0 or reached < expected + _TOGETHER:  # the picture's clock may soon jump too
                return None
        elif interrupted and jump > 0:
            return None
        return expected

    def _peek(self) -> av.Packet | None:
        while self._next is None:
            try:
                packet = next(self._packets, None)
            except DAMAGE as error:
                self._messages.append(f"sound ends early ({getattr(error, 'strerror', None) or error})")
                self._packets = iter(())
                return None
            if packet is None:
                return None
            if self._tracks[packet.stream.index].works:
                self._next = packet
        return self._next


class _Track:
    """One audio stream that is copied or encoded."""

    def __init__(self, index: int, clock: Clock, stream: AudioStream, *, encodes: bool = False) -> None:
        self.clock = clock
        self.works = True
        self._index, self._stream, self._encodes = index, stream, encodes
        self._damaged: str | None = None

    def warnings(self) -> list[str]:
        return [*self.clock.warnings("sound"), *([self._damaged] if self._damaged else [])]

    def write(self, packet: av.Packet, raw: int | None, output: OutputContainer) -> None:
        time = self.clock.repair(raw, packet.duration or None)
        if self._encodes:
            self._encode(packet, time, output)
            return
        late = packet.pts - packet.dts if packet.pts is not None and packet.dts is not None else 0
        packet.dts, packet.pts = time, time + late
        packet.stream = self._stream
        try:
            output.mux_one(packet)
        except (av.error.FFmpegError, ValueError) as error:
            self._give_up(error)

    def _encode(self, packet: av.Packet, time: int, output: OutputContainer) -> None:
        """Encode a packet, or leave it out if it is damaged."""
        begin = time * self.clock.time_base
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            self._damaged = f"audio stream {self._index}: damaged in places ({type(error).__name__})"
            return
        try:
            for frame in frames:
                unit = Fraction(1, frame.sample_rate)
                frame.pts, frame.time_base = round(begin / unit), unit
                begin += frame.samples * unit
                output.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, ValueError) as error:
            self._give_up(error)

    def flush(self, output: OutputContainer) -> None:
        """Write the packets that the encoder still holds."""
        if self._encodes and self.works:
            try:
                output.mux(self._stream.encode(None))
            except (av.error.FFmpegError, ValueError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Leave out the rest of this stream; a full disk is an error, as the picture cannot be written either."""
        if isinstance(error, av.error.FFmpegError) and error.errno in _DISK:
            raise error
        self.works = False
        at = float((self.clock.last or 0) * self.clock.time_base)
        self._damaged = f"audio stream {self._index}: left out from {at:.2f} s on ({error})"

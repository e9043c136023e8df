"""Copying a video's sound beside new pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer

from lanecli.media.container import open_container, start_offset

# What browsers and players take inside MP4; other codecs are encoded to AAC.
_PLAYABLE_IN_MP4 = {"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "flac", "alac"}


class AudioCopier:
    """Copies the audio streams of one file into an output container, packet by packet, a little ahead of the picture.

    Packets are copied as they are where the container can hold their codec, else the sound is encoded to AAC; a stream
    for which neither works is left out and named in `warnings`. Nothing but the packets of the moment is in memory.
    """

    def __init__(self, source: str | Path, output: OutputContainer, *, mp4: bool) -> None:
        self.warnings: list[str] = []
        self._output = output
        self._input = open_container(source)
        self._offset = start_offset(self._input)
        self._copies: dict[int, AudioStream] = {}
        self._encoders: dict[int, AudioStream] = {}
        for stream in self._input.streams.audio:
            self._add(stream, mp4)
        wanted = [stream for stream in self._input.streams.audio if self._target(stream.index) is not None]
        self._packets: Iterator[av.Packet] = iter(self._input.demux(*wanted)) if wanted else iter(())
        self._next: av.Packet | None = None

    def _target(self, index: int) -> AudioStream | None:
        return self._copies.get(index) or self._encoders.get(index)

    def _add(self, stream: AudioStream, mp4: bool) -> None:
        if stream.codec_context is None:
            self.warnings.append(f"audio stream {stream.index}: unknown codec, left out")
            return
        name = stream.codec_context.name
        if not mp4 or name in _PLAYABLE_IN_MP4:
            try:
                self._copies[stream.index] = self._output.add_stream_from_template(stream)
                return
            except (ValueError, av.error.FFmpegError):
                pass
        try:
            encoder = self._output.add_stream("aac", rate=stream.codec_context.sample_rate)
            encoder.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
            self._encoders[stream.index] = encoder
            self.warnings.append(f"audio stream {stream.index}: {name} does not go into MP4, encoded to AAC")
        except (ValueError, av.error.FFmpegError) as error:
            self.warnings.append(f"audio stream {stream.index}: {name} cannot be copied ({error}), left out")

    def advance(self, until: Fraction | None) -> None:
        """Write the packets that begin up to `until` seconds of the output's clock; all that is left where None."""
        while (packet := self._peek()) is not None:
            begin = packet.dts if packet.dts is not None else packet.pts
            if until is not None and begin is not None and begin * packet.time_base - self._offset > until:
                return
            self._next = None
            self._write(packet)

    def close(self, until: Fraction | None = None) -> None:
        """Write what is left (up to `until`, where given) and close the source."""
        try:
            self.advance(until)
            for index, encoder in self._encoders.items():
                self._guard(index, partial(self._flush, encoder))
        finally:
            self._input.close()

    def abandon(self) -> None:
        """Close the source without writing anything more."""
        self._input.close()

    def _peek(self) -> av.Packet | None:
        if self._next is None:
            try:
                self._next = next(self._packets, None)
            except av.error.FFmpegError as error:
                self.warnings.append(f"sound ends early: {error.strerror}")
                self._packets = iter(())
        return self._next

    def _write(self, packet: av.Packet) -> None:
        index = packet.stream.index
        copy = self._copies.get(index)
        if copy is None:
            self._guard(index, partial(self._encode, packet, self._encoders[index]))
            return
        if packet.dts is None:  # the empty packet that ends a stream
            return
        shift = round(self._offset / packet.time_base)
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        packet.stream = copy
        self._output.mux_one(packet)

    def _encode(self, packet: av.Packet, encoder: AudioStream) -> None:
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= round(self._offset / frame.time_base)
            self._output.mux(encoder.encode(frame))

    def _flush(self, encoder: AudioStream) -> None:
        self._output.mux(encoder.encode(None))

    def _guard(self, index: int, step: Callable[[], None]) -> None:
        """A damaged stretch of sound is left out, not the end of the video."""
        try:
            step()
        except (av.error.InvalidDataError, ValueError) as error:
            text = f"audio stream {index}: damaged in places ({type(error).__name__})"
            if text not in self.warnings:
                self.warnings.append(text)

"""Videos made on the spot with PyAV, so that what is in them is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest


def scene(number: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth RGB picture that moves with `number`."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    red = 127 + 100 * np.sin((x + 5 * number) / 17)
    green = 127 + 100 * np.sin((y + 3 * number) / 23)
    blue = 127 + 100 * np.sin((x + y - 4 * number) / 31)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def tone(number: int, rate: int = 48_000, samples: int = 1024) -> av.AudioFrame:
    """One frame of a 440 Hz tone, mono float."""
    at = (np.arange(samples) + number * samples) / rate
    frame = av.AudioFrame.from_ndarray(
        (0.4 * np.sin(2 * np.pi * 440 * at)).astype(np.float32)[None], format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, number * samples, Fraction(1, rate)
    return frame


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Write a video and give its path."""

    def make(
        name: str = "video.mp4",
        *,
        count: int = 12,
        size: tuple[int, int] = (64, 48),
        rate: Fraction | int = 25,
        time_base: Fraction | None = None,
        pts: Sequence[int] | None = None,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        options: dict[str, str] | None = None,
        rotation: int = 0,
        audio: str | None = None,
        audio_frames: int = 30,
        tags: tuple[int, int, int, int] | None = None,
        pictures: Callable[[int, tuple[int, int]], np.ndarray] = scene,
        faststart: bool = False,
        group: int = 6,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        time_base = time_base or 1 / Fraction(rate)
        container = {"movflags": "+faststart"} if faststart else {}
        if path.suffix == ".mp4" and time_base.numerator == 1:
            container["video_track_timescale"] = str(time_base.denominator)
        quality = {"crf": "10", "preset": "ultrafast"} if codec == "libx264" else {}
        with av.open(f"file:{path}", "w", container_options=container) as output:
            stream = output.add_stream(codec, rate=rate, options={**quality, **(options or {})})
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            stream.codec_context.time_base, stream.codec_context.gop_size = time_base, group
            if tags is not None:
                context = stream.codec_context
                context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
            if rotation:
                stream.set_display_rotation(rotation)
            sound = output.add_stream(audio, rate=48_000, layout="mono") if audio else None
            output.start_encoding()
            if sound is not None:
                for number in range(audio_frames):
                    output.mux(sound.encode(tone(number)))
                output.mux(sound.encode(None))
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(pictures(number, size), "rgb24")
                if tags is not None:
                    frame = frame.reformat(format=pixels, dst_colorspace=tags[0], dst_color_range=tags[1])
                else:
                    frame = frame.reformat(format=pixels)
                frame.pts, frame.time_base = (pts[number] if pts is not None else number), time_base
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def times_of() -> Callable[[Path], list[Fraction]]:
    """Presentation times of a video's frames, read by PyAV alone."""

    def times(path: Path) -> list[Fraction]:
        with av.open(f"file:{path}") as container:
            return [frame.pts * frame.time_base for frame in container.decode(video=0)]

    return times


@pytest.fixture
def packets_of() -> Callable[[Path, str], list[tuple[Fraction, bytes]]]:
    """(time, bytes) of each packet of the first stream of a kind, read by PyAV alone."""

    def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
        with av.open(f"file:{path}") as container:
            return [(p.pts * p.time_base, bytes(p)) for p in container.demux(**{kind: 0}) if p.size]

    return packets


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    cv2.setNumThreads(1)

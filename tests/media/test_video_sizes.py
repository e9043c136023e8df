"""Every size of a video, luma and chroma, shown against another decoder than the one under test."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lanecli.data.synthesise import synthesise
from lanecli.media import Colour, Frame, VideoReader, VideoSettings, VideoWriter

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases" / "media"
# Sizes of CULane, comma10k, ApolloScape and others (scaled down where they are large) have every remainder of these.
SIZES = [(64 + width, 48 + height) for width in range(8) for height in range(8)]


def planes_of(size: tuple[int, int], number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """I420 planes whose luma and chroma each climb along both sides, so that every shift shows."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    v, u = np.mgrid[: (height + 1) // 2, : (width + 1) // 2].astype(np.float64)
    luma = 40 + 100 * x / width + 80 * y / height + 3 * number
    cb = 60 + 40 * u / len(u[0]) + 90 * v / len(v)
    cr = 200 - 60 * u / len(u[0]) - 70 * v / len(v)
    return tuple(np.round(plane).astype(np.uint8) for plane in (luma, cb, cr))  # type: ignore[return-value]


def rgb_of(planes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """BT.601, limited range (ITU-R BT.601-7, section 2.5.4), chroma repeated two by two; float (H, W, 3)."""
    height, width = planes[0].shape
    luma = (planes[0] - 16.0) / 219
    cb, cr = ((np.repeat(np.repeat(plane, 2, 0), 2, 1)[:height, :width] - 128.0) / 224 for plane in planes[1:])
    red, blue = luma + 1.402 * cr, luma + 1.772 * cb
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return 255 * np.stack([red, green, blue], axis=-1).clip(0, 1)


def opencv_frames(path: Path) -> Iterator[np.ndarray]:
    """RGB frames by OpenCV's own FFmpeg."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    while (found := capture.read())[0]:
        yield found[1][..., ::-1]
    capture.release()


def pyav_planes(path: Path) -> Iterator[list[np.ndarray]]:
    """Planes by PyAV alone, each read from its own buffer."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.format.name == "yuv420p"
            yield [
                np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
                for plane in frame.planes
            ]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_h270_chroma_is_where_luma_is_at_every_size(tmp_path, size):
    """Height 2 mod 4 used to draw chroma 8 to 10 rows low, with a coloured bar on top."""
    target, (width, height) = tmp_path / "out.mp4", size
    with VideoWriter(target, VideoSettings(size, 25, crf=1)) as writer:
        for number in range(3):
            frame = Frame.from_planes(*planes_of(size, number), number, number, Fraction(1, 25), colour=Colour(6, 1))
            writer.write(writer.canvas(frame) if number else frame)
    for number, (planes, rgb) in enumerate(zip(pyav_planes(target), opencv_frames(target), strict=True)):
        wanted = planes_of(size, number)
        for got, plane in zip(planes, wanted, strict=True):
            assert np.abs(got[: plane.shape[0], : plane.shape[1]].astype(int) - plane).max() <= 3
        assert rgb.shape == ((height + 1) // 2 * 2, (width + 1) // 2 * 2, 3)
        assert np.abs(rgb[:height, :width] - rgb_of(wanted)).max() <= 12
    assert number == 2


@pytest.mark.parametrize("size", [(64, 50), (66, 54), (65, 49), (66, 53)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_h270_of_rgb_frames(tmp_path, size):
    target = tmp_path / "out.mp4"
    rgb = rgb_of(planes_of(size, 0)).round().astype(np.uint8)
    with VideoWriter(target, VideoSettings(size, 25, crf=1)) as writer:
        writer.write(Frame.from_rgb(rgb))
    (got,) = opencv_frames(target)
    assert np.abs(got[: size[1], : size[0]].astype(int) - rgb).max() <= 12


def test_h270_of_synth_video(tmp_path):
    """The drive's video shows what its pictures show, at a height that is 2 mod 4."""
    video = synthesise(tmp_path / "drive", count=2, size=(160, 90), video=True, workers=1)
    for rgb, path in zip(opencv_frames(video), sorted((tmp_path / "drive" / "images").iterdir()), strict=True):
        picture = cv2.imread(str(path))[..., ::-1]
        assert np.abs(cv2.blur(rgb, (9, 9)).astype(int) - cv2.blur(picture, (9, 9))).mean() < 2


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("name", ["h270.mp4", "h272.mp4"])
def test_h270_and_h272_of_the_shared_cases(tmp_path, name):
    target = tmp_path / "out.mp4"
    with VideoReader(CASES / name) as reader, VideoWriter.like(reader, target) as writer:
        for frame in reader:
            writer.write(writer.canvas(frame))
    for got, wanted in zip(opencv_frames(target), opencv_frames(CASES / name), strict=True):
        assert np.abs(cv2.blur(got, (5, 5)).astype(int) - cv2.blur(wanted, (5, 5))).max() < 25

"""`Frame`: a picture with its index and time, as it passes through the pipeline."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np

from lanecli.errors import LaneError
from lanecli.media.colour import FROM_RGB, RANGE_FULL, Colour
from lanecli.media.orientation import UPRIGHT, Orientation


class Frame:
    """One picture: either I420 planes or RGB, with index and exact time.

    Planes of a video are views of the decoder's memory and read-only, as the decoder predicts later frames from them.
    To draw, use a writable frame: `VideoWriter.canvas(frame)` or `frame.copy()`.

    Attributes:
        index: position in the output, from 0.
        pts: presentation time in units of `time_base`, or None if the source has none.
        time_base: seconds per unit of `pts`.
        duration: time for which the frame is shown, in units of `time_base`, or None if the source does not say.
        colour: matrix, range and the other colour tags.
    """

    __slots__ = ("_native", "_planes", "_rgb", "colour", "duration", "index", "pts", "time_base", "writable")

    def __init__(
        self,
        index: int = 0,
        pts: int | None = None,
        time_base: Fraction | None = None,
        *,
        duration: int | None = None,
        colour: Colour = FROM_RGB,
    ) -> None:
        self.index = index
        self.pts = pts
        self.time_base = time_base
        self.duration = duration
        self.colour = colour
        self.writable = False
        self._native: av.VideoFrame | None = None
        self._planes: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._rgb: np.ndarray | None = None

    @classmethod
    def from_rgb(
        cls, rgb: np.ndarray, index: int = 0, pts: int | None = None, time_base: Fraction | None = None
    ) -> Frame:
        """Wrap an RGB picture, uint8 (H, W, 3), without a copy."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise LaneError(f"a frame takes RGB uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}")
        frame = cls(index, pts, time_base)
        frame._rgb = rgb
        frame.writable = rgb.flags.writeable
        return frame

    @classmethod
    def from_planes(
        cls,
        y: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
        index: int = 0,
        pts: int | None = None,
        time_base: Fraction | None = None,
        *,
        duration: int | None = None,
        colour: Colour,
    ) -> Frame:
        """Wrap I420 planes without a copy: y uint8 (H, W); u and v uint8 (ceil(H/2), ceil(W/2))."""
        half = ((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2)
        if u.shape != half or v.shape != half:
            raise LaneError(f"chroma planes of a {y.shape} frame must be {half}, got {u.shape} and {v.shape}")
        frame = cls(index, pts, time_base, duration=duration, colour=colour)
        frame._planes = (y, u, v)
        frame.writable = all(plane.flags.writeable for plane in (y, u, v))
        return frame

    @classmethod
    def from_native(cls, native: av.VideoFrame, index: int, *, colour: Colour, writable: bool = False) -> Frame:
        """Wrap a yuv420p or yuvj420p frame of PyAV without a copy, with its time and duration."""
        frame = cls(index, native.pts, native.time_base, duration=native.duration or None, colour=colour)
        frame._native = native
        frame.writable = writable
        return frame

    @property
    def is_planar(self) -> bool:
        """Whether the pixels are I420 planes; otherwise they are RGB."""
        return self._rgb is None

    @property
    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Y uint8 (H, W), U and V uint8 (ceil(H/2), ceil(W/2)). Only if `is_planar`."""
        if self._planes is None:
            if self._native is None:
                raise LaneError("this frame holds RGB, not planes")
            self._planes = native_planes(self._native, writable=self.writable)
        return self._planes

    @property
    def y(self) -> np.ndarray:
        """Luma, uint8 (H, W)."""
        return self.planes[0]

    @property
    def u(self) -> np.ndarray:
        """Cb, uint8 (ceil(H/2), ceil(W/2))."""
        return self.planes[1]

    @property
    def v(self) -> np.ndarray:
        """Cr, uint8 (ceil(H/2), ceil(W/2))."""
        return self.planes[2]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        if self._native is not None and self._planes is None:
            return self._native.width, self._native.height
        height, width = (self.planes[0] if self._rgb is None else self._rgb).shape[:2]
        return width, height

    @property
    def time(self) -> float | None:
        """Presentation time in seconds, or None if the source has none."""
        return None if self.pts is None or self.time_base is None else float(self.pts * self.time_base)

    def rgb(self) -> np.ndarray:
        """Return the picture as RGB uint8 (H, W, 3), converted with the frame's own matrix and range.

        An RGB frame returns its own array; planes are converted at each call.
        """
        if self._rgb is not None:
            return self._rgb
        height = self.size[1]
        native = self._native
        if native is None or height % 2:
            # swscale is off by two levels for odd heights: give it one more row.
            y, u, v = self.planes
            native = native_copy(cv2.copyMakeBorder(y, 0, height % 2, 0, 0, cv2.BORDER_REPLICATE), u, v)
        space, span = self.colour.swscale
        return native.reformat(
            format="rgb24",
            src_colorspace=space,
            dst_colorspace=space,
            src_color_range=span,
            dst_color_range=RANGE_FULL,
            threads=1,
        ).to_ndarray()[:height]

    def copy(self) -> Frame:
        """Return a writable copy that owns its pixels."""
        if self._rgb is not None:
            frame = Frame.from_rgb(self._rgb.copy(), self.index, self.pts, self.time_base)
            frame.duration, frame.colour = self.duration, self.colour
            return frame
        y, u, v = (plane.copy() for plane in self.planes)
        return Frame.from_planes(
            y, u, v, self.index, self.pts, self.time_base, duration=self.duration, colour=self.colour
        )

    def upright(self, orientation: Orientation) -> Frame:
        """Return the frame mirrored and turned as `orientation` says, or the frame itself if it is upright."""
        if orientation == UPRIGHT:
            return self
        if self._rgb is not None:
            frame = Frame.from_rgb(orientation.apply(self._rgb), self.index, self.pts, self.time_base)
            frame.duration, frame.colour = self.duration, self.colour
            return frame
        y, u, v = (orientation.apply(plane) for plane in self.planes)
        return Frame.from_planes(
            y, u, v, self.index, self.pts, self.time_base, duration=self.duration, colour=self.colour
        )


def native_planes(native: av.VideoFrame, *, writable: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return views of the planes of a yuv420p frame of PyAV: Y (H, W), U and V (ceil(H/2), ceil(W/2)), uint8."""
    y, u, v = (_plane(plane, writable) for plane in native.planes)
    return y, u, v


def _plane(plane: av.video.plane.VideoPlane, writable: bool) -> np.ndarray:
    view = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    view.flags.writeable = writable
    return view


def native_copy(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> av.VideoFrame:
    """Copy I420 planes into a new PyAV frame of the same size."""
    native = av.VideoFrame(y.shape[1], y.shape[0], "yuv420p")
    for source, target in zip((y, u, v), native_planes(native, writable=True), strict=True):
        np.copyto(target, source)
    return native

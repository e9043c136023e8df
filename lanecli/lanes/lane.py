"""The Lane object: one lane line of a frame, as a polyline with what is known of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lanecli.errors import InputError

Role = Literal["ego-left", "ego-right", "left", "right"]
Style = Literal["solid", "dashed", "double"]
Color = Literal["white", "yellow"]

_DECIMALS = 2  # of a pixel, in files


@dataclass(frozen=True, eq=False)
class Lane:
    """One lane line.

    Attributes:
        points: (N, 2) float64 x, y in pixels of the frame, the centre of the top left pixel at (0, 0), from near
            (the highest y) to far, N at least 2. y falls from point to point.
        confidence: 0..1, the expected IoU of the lane with the true one (`lanecli.lanes.confidence`).
        role: ``ego-left`` and ``ego-right`` bound the lane the camera drives in, ``left`` and ``right`` lie further
            out; None where it cannot be told.
        class_name: the class its paint mostly has.
        style: ``solid``, ``dashed`` or ``double``; None where the labels do not show it.
        color: ``white`` or ``yellow``; None where no picture was given or it does not show it.
        width: of the paint at the nearest point, in pixels of the frame; None where the labels do not show it.
        id: kept over the frames of a video; within one picture lanes are numbered from left to right.
    """

    points: np.ndarray
    confidence: float
    role: Role | None = None
    class_name: str = "lane marking"
    style: Style | None = None
    color: Color | None = None
    width: float | None = None
    id: int = 0

    def __post_init__(self) -> None:
        points = np.array(self.points, float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
            raise InputError(f"a lane is (N, 2) points with N at least 2, got shape {points.shape}")
        points.setflags(write=False)
        object.__setattr__(self, "points", points)

    def x_at(self, rows: np.ndarray) -> np.ndarray:
        """x at each of `rows` by linear interpolation; NaN beyond the lane's ends."""
        return np.interp(rows, self.points[::-1, 1], self.points[::-1, 0], left=np.nan, right=np.nan)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a line of ``lanes.jsonl``."""
        return {
            "id": self.id,
            "role": self.role,
            "class": self.class_name,
            "style": self.style,
            "color": self.color,
            "confidence": round(float(self.confidence), 4),
            "points": np.round(self.points, _DECIMALS).tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Lane:
        """Read :meth:`to_json`'s form. Raises InputError that says what is wrong."""
        try:
            points = np.array(data["points"], float)
            confidence = float(data["confidence"])
            words = data.get("role"), data.get("style"), data.get("color")
            number = int(data.get("id", 0))
            class_name = str(data.get("class", "lane marking"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"no lane: {type(error).__name__} {error}") from error
        if not np.isfinite(points).all() or not (math.isfinite(confidence) and 0 <= confidence <= 1):
            raise InputError("no lane: points must be finite numbers and the confidence must lie between 0 and 1")
        for word, allowed in zip(words, (Role, Style, Color), strict=True):
            if word is not None and word not in get_args(allowed):
                raise InputError(f"no lane: '{word}' is none of {', '.join(get_args(allowed))}")
        role, style, color = words
        return cls(points, confidence, role, class_name, style, color, None, number)

"""The Lane object: one lane line of a frame, as a polyline with its properties."""

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

_DECIMALS = 2  # decimals of a pixel in files


@dataclass(frozen=True, eq=False)
class Lane:
    """One lane line.

    Attributes:
        points: (N, 2) float64 x, y in pixels of the frame, with N at least 2. (0, 0) is the centre of the top left
            pixel. The points go from near to far: y decreases from point to point.
        confidence: the expected IoU of the lane with the true one, 0..1 (`lanecli.lanes.confidence`).
        role: ``ego-left`` and ``ego-right`` bound the lane the camera drives in, ``left`` and ``right`` lie further
            out; None if it is unknown.
        class_name: the class that most of its paint has.
        style: ``solid``, ``dashed`` or ``double``; None if the labels do not show it.
        color: ``white`` or ``yellow``; None if it is unknown, for example without a picture.
        width: width of the paint at the nearest point, in pixels of the frame; None if it is unknown.
        id: stays the same through a video; in a single picture, lanes are numbered from left to right.
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
            raise InputError(f"a lane needs points of the shape (N, 2) with N at least 2, not {points.shape}")
        points.setflags(write=False)
        object.__setattr__(self, "points", points)

    def x_at(self, rows: np.ndarray) -> np.ndarray:
        """Return x in each row by linear interpolation, NaN beyond the ends of the lane.

        Args:
            rows: (N,) rows of the frame.

        Example:
            >>> Lane(np.array([[300, 350], [320, 150]]), 0.9).x_at(np.array([250, 100]))
            array([310.,  nan])
        """
        return np.interp(rows, self.points[::-1, 1], self.points[::-1, 0], left=np.nan, right=np.nan)

    def to_json(self) -> dict[str, Any]:
        """Return the lane as it is written to ``lanes.jsonl``; the width of the paint is not written."""
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
        """Return the lane that :meth:`to_json` wrote.

        Raises:
            InputError: the data is not a lane; the message says why.
        """
        try:
            points = np.array(data["points"], float)
            confidence = float(data["confidence"])
            attributes = data.get("role"), data.get("style"), data.get("color")
            number = int(data.get("id", 0))
            class_name = str(data.get("class", "lane marking"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a lane: {type(error).__name__} {error}") from error
        if not np.isfinite(points).all() or not (math.isfinite(confidence) and 0 <= confidence <= 1):
            raise InputError("not a lane: points must be finite numbers and the confidence must lie between 0 and 1")
        for value, allowed in zip(attributes, (Role, Style, Color), strict=True):
            if value is not None and value not in get_args(allowed):
                raise InputError(f"not a lane: '{value}' is not one of {', '.join(get_args(allowed))}")
        role, style, color = attributes
        return cls(points, confidence, role, class_name, style, color, None, number)

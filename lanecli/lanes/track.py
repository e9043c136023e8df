"""One lane line over the frames of a video."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.lane import Lane, Role

Floats = NDArray[np.floating]

_FADE = 0.4  # seconds in which the confidence of a line that is no longer seen falls to a half


@dataclass
class Track:
    """One line.

    Attributes:
        number: its identity.
        x: (R,) smoothed, in the tracker's rows, NaN where it has never been seen.
        far: its smoothed far end, a row.
        lane, found: as it was last seen, and its x (R,) then.
        confidence: smoothed.
        born, seen: times in seconds.
        shown: whether it has been given.
        side: -1 left of the middle, 1 right of it.
        looks: votes for style, colour and class.
    """

    number: int
    x: Floats
    far: float
    lane: Lane
    found: Floats
    confidence: float
    born: float
    seen: float
    shown: bool = False
    side: int = 0
    looks: dict[str, Counter[str | None]] = field(default_factory=dict)

    def take(self, lane: Lane, x: Floats, now: float) -> None:
        """It was found again, at `x`."""
        self.lane, self.found, self.seen = lane, x, now
        self.vote(lane)

    def follow(self, share: float) -> None:
        """Go `share` of the way to where it was found."""
        old = np.where(np.isnan(self.x), self.found, self.x)
        self.x = old + share * (np.where(np.isnan(self.found), old, self.found) - old)
        self.far += share * (float(self.lane.points[-1, 1]) - self.far)
        self.confidence += share * (self.lane.confidence - self.confidence)

    def vote(self, lane: Lane) -> None:
        """Count how it looks in a frame; older votes count ever less."""
        for name in ("style", "color", "class_name"):
            votes = self.looks.setdefault(name, Counter())
            found = getattr(lane, name)
            if name == "color" and found is None:  # not looked up in this frame
                votes.setdefault(None, 0)
                continue
            for key in votes:
                votes[key] *= 0.95  # type: ignore[assignment]
            votes[found] += lane.confidence  # type: ignore[assignment]

    def look(self, name: str) -> str | None:
        """The ``style``, ``color`` or ``class_name`` with the most votes."""
        return max(self.looks[name].items(), key=lambda item: item[1])[0]

    def as_lane(self, points: Floats, role: Role | None, now: float) -> Lane:
        """It as given at the time `now`, when it has run through `points`."""
        return Lane(
            points,
            self.confidence * 2 ** (-(now - self.seen) / _FADE),
            role,
            self.look("class_name") or self.lane.class_name,
            self.look("style"),  # type: ignore[arg-type]
            self.look("color"),  # type: ignore[arg-type]
            self.lane.width,
            self.number,
        )

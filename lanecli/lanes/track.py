"""The state of one lane line over the frames of a video."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.lane import Lane, Role

Floats = NDArray[np.floating]

_FADE = 0.4  # seconds after which the confidence of a line that is no longer seen is halved


@dataclass
class Track:
    """One line and its history.

    Attributes:
        id: the identity of the line, unique in a video.
        x: (R,) smoothed x in the rows of the tracker, NaN where the line has never been seen.
        far: row of the smoothed far end.
        lane: the line as it was found last.
        seen_x: (R,) x of `lane`.
        confidence: the smoothed confidence, 0..1.
        created_at: time of the first frame that shows the line, in seconds.
        seen_at: time of the last frame in which the line was found, in seconds.
        reported: whether the line has been reported.
        side: -1 if the line is left of the middle, 1 if it is right of it, 0 if this is not decided yet.
        votes: votes for each style, colour and class name.
    """

    id: int
    x: Floats
    far: float
    lane: Lane
    seen_x: Floats
    confidence: float
    created_at: float
    seen_at: float
    reported: bool = False
    side: int = 0
    votes: dict[str, Counter[str | None]] = field(default_factory=dict)

    def observe(self, lane: Lane, x: Floats, now: float) -> None:
        """Record that the line was found at `x` (R,) in the frame at the time `now`."""
        self.lane, self.seen_x, self.seen_at = lane, x, now
        self.vote(lane)

    def move_to_seen(self, share: float) -> None:
        """Move the smoothed line by `share` (0..1) of the way to where it was found last."""
        old = np.where(np.isnan(self.x), self.seen_x, self.x)
        self.x = old + share * (np.where(np.isnan(self.seen_x), old, self.seen_x) - old)
        self.far += share * (float(self.lane.points[-1, 1]) - self.far)
        self.confidence += share * (self.lane.confidence - self.confidence)

    def vote(self, lane: Lane) -> None:
        """Add the style, colour and class name of a frame to the votes; older votes lose weight."""
        for name in ("style", "color", "class_name"):
            counts = self.votes.setdefault(name, Counter())
            value = getattr(lane, name)
            if name == "color" and value is None:  # the colour was not determined in this frame
                counts.setdefault(None, 0)
                continue
            for key in counts:
                counts[key] *= 0.95  # type: ignore[assignment]
            counts[value] += lane.confidence  # type: ignore[assignment]

    def most_voted(self, name: str) -> str | None:
        """Return the ``style``, ``color`` or ``class_name`` with the most votes."""
        return max(self.votes[name].items(), key=lambda item: item[1])[0]

    def as_lane(self, points: Floats, role: Role | None, now: float) -> Lane:
        """Return the line as it is reported at the time `now`.

        Args:
            points: (N, 2) x, y from near to far, in pixels of the frame.
            role: role of the line.
            now: time of the frame in seconds; the confidence decreases with the time since the line was seen.
        """
        return Lane(
            points,
            self.confidence * 2 ** (-(now - self.seen_at) / _FADE),
            role,
            self.most_voted("class_name") or self.lane.class_name,
            self.most_voted("style"),  # type: ignore[arg-type]
            self.most_voted("color"),  # type: ignore[arg-type]
            self.lane.width,
            self.id,
        )

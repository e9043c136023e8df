"""Lane lines over the frames of a video: identities, steadiness, roles, and a fresh start after a cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.labels import LabelMap
from lanecli.lanes.find import survey
from lanecli.lanes.lane import Lane, Role
from lanecli.lanes.perspective import Perspective
from lanecli.lanes.roles import NEXT, foot
from lanecli.lanes.sampling import distances, down_of, points_of, sampled_in
from lanecli.lanes.track import Track

if TYPE_CHECKING:
    from lanecli.media.frame import Frame

Floats = NDArray[np.floating]

_STEP = 8.0  # rows of the frame from one in which lines are compared, smoothed and given to the next, at most
_TOP = 0.15  # of the frame, above which no line is followed
_LOOK = 0.045  # seconds at least from one frame that lines are looked for in to the next
_TINTS = 3  # a line's colour is looked up in every so many of these
_SETTLE = 0.065  # seconds in which a line follows two thirds of a step
_PROVE = 0.1  # seconds a new line is watched before it is given
_KEEP = 0.5  # seconds a line that is no longer seen is still given, at a falling confidence
_NEAR = 0.75  # camera heights: a third of a lane; what lies nearer is the same line
_CROSSED = 0.15  # camera heights past the middle before a line counts as crossed
_THUMBNAIL = (18, 32)
_CUT = 22.0  # levels of luma that a cut changes at least
_CUT_RATIO = 4.0  # and how many times the usual change


class LaneTracker:
    """Follows the lines of one video; one object for each.

    Example: ``tracker = LaneTracker(25.0)``, then for every frame ``tracker.find(class_map, label_map, frame)``.
    """

    def __init__(self, frame_rate: float = 25.0) -> None:
        """Args: frame_rate: frames a second, where frames bear no time."""
        self._step = 1 / frame_rate if frame_rate > 0 else 0.04
        self._next = 0
        self._size: Size | None = None
        self._rows: Floats = np.zeros(0)  # from the bottom up
        self._count = 0
        self._begin()

    def _begin(self) -> None:
        """Forget what was seen; identities are not given again."""
        self._tracks: list[Track] = []
        self._view: Perspective | None = None
        self._frame_view: Perspective | None = None
        self._time: float | None = None
        self._looked: float | None = None
        self._start: float | None = None
        self._thumbnail: Floats | None = None
        self._change: float | None = None

    def find(self, scores: np.ndarray, label_map: LabelMap, frame: Frame) -> tuple[Lane, ...]:
        """The lane lines of the next frame (`lanecli.lanes.find_lanes`), with identities that last.

        Lines are looked for some twenty times a second; in the frames between they go on as they were found.
        """
        if self._is_cut(frame):
            self._begin()
        if self._size == frame.size and self._is_rest(frame.time):
            return self._go_on(frame.time)
        tinted = self._count % _TINTS == 0 or self._count < _TINTS or any(t.seen == t.born for t in self._tracks)
        self._count += 1
        found = survey(scores, label_map, frame.size, picture=frame if tinted else None, prior=self._view)
        view = found.view
        if view is not None:
            scale = np.array(frame.size) / scores.shape[:-3:-1]
            view = replace(view, vx=view.vx * scale[0], vy=view.vy * scale[1])
        lanes = self.update(found.lanes, frame.size, view, frame.time)
        if found.view is not None and found.view.certain:
            self._view = found.view
        return lanes

    def _clock(self, time: float | None) -> float:
        """The time of the next frame, which bears `time`; never back."""
        if time is not None and (self._time is None or time > self._time):
            return time
        return 0.0 if self._time is None else self._time + self._step

    def _is_rest(self, time: float | None) -> bool:
        """Whether lines were looked for so lately that the next frame can do without, past a scene's start."""
        if self._looked is None or self._start is None:
            return False
        now = self._clock(time)
        return now - self._looked < _LOOK and now - self._start >= _PROVE / 2

    def _go_on(self, time: float | None) -> tuple[Lane, ...]:
        """The lines of a frame in which none are looked for."""
        now = self._clock(time)
        share = self._share(now)
        self._time = now
        for track in self._tracks:
            if track.seen == self._looked:
                track.follow(share)
        return self._given(now)

    def _share(self, now: float) -> float:
        """Of the way to where a line was found, what it goes by the time `now`."""
        return 1 - float(np.exp(-(self._step if self._time is None else now - self._time) / _SETTLE))

    def update(
        self, lanes: tuple[Lane, ...], size: Size, view: Perspective | None = None, time: float | None = None
    ) -> tuple[Lane, ...]:
        """Take the lines found in the next frame; those to be given come back, from left to right.

        Args:
            lanes: found in the frame alone.
            size: width and height of the frame.
            view: its perspective, in pixels of the frame.
            time: of the frame in seconds.
        """
        if self._size != size:
            self._size = size
            count = 2 + int((1 - _TOP) * size[1] / min(_STEP, max(1.0, size[1] / 80)))
            self._rows = np.linspace(size[1] - 1.0, _TOP * size[1], count)
            self._begin()
        now, last = self._clock(time), self._looked
        share = self._share(now)
        self._time = self._looked = now
        self._frame_view = view
        if self._start is None:
            self._start = now
        rows = self._rows
        down = down_of(rows, size, view)
        sampled = np.stack([sampled_in(lane, rows) for lane in lanes]) if lanes else np.zeros((0, len(rows)))
        pairs = self._match(sampled, down)
        if len(self._tracks) > 1 and len(lanes) > 1 and not pairs and all(t.seen == last for t in self._tracks):
            start, self._tracks = now, []  # nothing is where it was: another scene
            self._start = start
        for track, index in pairs:
            track.take(lanes[index], sampled[index], now)
            track.follow(share)
        taken = {index for _, index in pairs}
        for index, lane in enumerate(lanes):
            if index not in taken:
                x = sampled[index]
                track = Track(self._next, x, float(lane.points[-1, 1]), lane, x, lane.confidence, now, now)
                track.vote(lane)
                self._tracks.append(track)
                self._next += 1
        self._forget(now, down)
        return self._given(now)

    def _match(self, sampled: Floats, down: Floats) -> list[tuple[Track, int]]:
        """Tracks with the found lines that continue them, the nearest pairs first."""
        if not self._tracks or not len(sampled):
            return []
        apart = distances(np.stack([track.x for track in self._tracks]), sampled, down)
        which, index = np.nonzero(apart <= _NEAR)
        pairs: list[tuple[Track, int]] = []
        free_tracks, free_lines = set(range(len(apart))), set(range(len(sampled)))
        for place in np.argsort(apart[which, index], kind="stable"):
            one, other = int(which[place]), int(index[place])
            if one in free_tracks and other in free_lines:
                free_tracks.remove(one)
                free_lines.remove(other)
                pairs.append((self._tracks[one], other))
        return pairs

    def _forget(self, now: float, down: Floats) -> None:
        """Drop lines long unseen, lines that were never proved, and the younger of two that have become one."""
        tracks = sorted(self._tracks, key=lambda track: track.number)
        tracks = [track for track in tracks if now - track.seen <= (_KEEP if track.shown else 0.0)]
        if len(tracks) > 1:
            x = np.stack([track.x for track in tracks])
            close = distances(x, x, down) < _NEAR / 2
            kept: list[int] = []
            for place in range(len(tracks)):
                if not close[place, kept].any():
                    kept.append(place)
            tracks = [tracks[place] for place in kept]
        self._tracks = tracks

    def _given(self, now: float) -> tuple[Lane, ...]:
        assert self._size is not None
        rows, size, view = self._rows, self._size, self._frame_view
        at_start = self._start is not None and now - self._start < _PROVE / 2
        tracks: list[Track] = []
        lines: list[Floats] = []
        for track in self._tracks:
            track.shown |= at_start or track.seen - track.born >= _PROVE
            points = points_of(track.x, track.far, rows, size)
            if track.shown and len(points) > 1:
                tracks.append(track)
                lines.append(points)
        feet = [foot(points, size[1]) for points in lines]
        roles = self._roles(tracks, feet, size, view)
        order = sorted(range(len(tracks)), key=feet.__getitem__)
        return tuple(tracks[i].as_lane(lines[i], roles[i], now) for i in order)

    def _roles(self, tracks: list[Track], feet: list[float], size: Size, view: Perspective | None) -> list[Role | None]:
        """As `lanecli.lanes.roles`, but a line changes sides only when it has clearly crossed the middle."""
        middle = (size[0] - 1) / 2
        scale = float(down_of(self._rows[:1], size, view)[0])
        for track, x in zip(tracks, feet, strict=True):
            if track.side == 0 or abs(x - middle) > _CROSSED * scale:
                track.side = -1 if x < middle else 1
        roles: list[Role | None] = ["left" if track.side < 0 else "right" for track in tracks]
        centre = view.vx if view is not None and view.certain else middle
        for side, role in ((-1, "ego-left"), (1, "ego-right")):
            beside = [i for i, track in enumerate(tracks) if track.side == side]
            if beside:
                nearest = max(beside, key=lambda i: -side * feet[i])
                if view is None or not view.certain or abs(feet[nearest] - centre) < NEXT * scale:
                    roles[nearest] = role  # type: ignore[call-overload]
        return roles

    def _is_cut(self, frame: Frame) -> bool:
        """Whether the picture changed as a whole, much more than from frame to frame before."""
        luma = frame.y if frame.is_planar else frame.rgb()[..., 1]
        height, width = luma.shape
        small = luma[:: max(1, height // _THUMBNAIL[0]), :: max(1, width // _THUMBNAIL[1])].astype(float)
        before, self._thumbnail = self._thumbnail, small
        if before is None or before.shape != small.shape:
            return False
        change = float(np.abs(small - before).mean())
        usual = self._change
        if usual is not None and change > max(_CUT, _CUT_RATIO * usual):
            return True
        self._change = change if usual is None else usual + 0.2 * (change - usual)
        return False

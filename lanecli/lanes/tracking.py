"""Tracks lane lines through a video: identities, smoothing, roles, and a reset after a cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.labels import LabelMap
from lanecli.lanes.find import find_lanes_and_view, line_pixels
from lanecli.lanes.following import PaintFollower
from lanecli.lanes.lane import Lane, Role
from lanecli.lanes.perspective import Perspective
from lanecli.lanes.roles import FARTHEST_BOUND, x_at_bottom
from lanecli.lanes.sampling import distances, rows_below_horizon, sample_lane, visible_points
from lanecli.lanes.track import Track

if TYPE_CHECKING:
    from lanecli.media.frame import Frame

Floats = NDArray[np.floating]

_STEP = 8.0  # largest distance in pixels between the rows in which lines are compared, smoothed and reported
_TOP = 0.15  # lines are not tracked above this share of the height of the frame
_SEARCH_INTERVAL = 0.125  # least time in seconds between two frames in which lines are searched
_LARGEST_STEP = 0.07  # lines follow their paint over at most so many seconds from frame to frame
_COLOR_INTERVAL = 2  # colours are determined in one of so many searched frames
_SMOOTHING = 0.055  # time constant in seconds: a line then has moved two thirds of the way
_PROVING = 0.1  # seconds for which a new line must be seen before it is reported
_KEEP = 0.5  # seconds for which a lost line is still reported, with decreasing confidence
_NEAR = 0.75  # camera heights, a third of a lane: closer lines are the same line
_CROSSED = 0.15  # camera heights past the middle at which a line changes sides
_THUMBNAIL = (12, 20)
_CUT = 22.0  # least mean change of luma at a cut, in levels
_CUT_RATIO = 4.0  # and its least ratio to the usual change


class LaneTracker:
    """Tracks the lane lines of one video; each video needs its own tracker.

    Example:
        >>> from lanecli.labelmaps import label_map
        >>> from lanecli.media import Frame
        >>> class_map = np.zeros((180, 320), np.uint8)
        >>> class_map[90:, 120:124] = 1
        >>> tracker = LaneTracker(25.0)
        >>> for _ in range(3):
        ...     frame = Frame.from_rgb(np.zeros((180, 320, 3), np.uint8))
        ...     lanes = tracker.find(class_map, label_map("lane"), frame)
        >>> [(lane.id, lane.role) for lane in lanes]
        [(0, 'ego-left')]
    """

    def __init__(self, frame_rate: float = 25.0) -> None:
        """Start without lines.

        Args:
            frame_rate: frames per second, used if frames have no time.
        """
        self._step = 1 / frame_rate if frame_rate > 0 else 0.04
        self._next_id = 0
        self._size: Size | None = None
        self._rows: Floats = np.zeros(0)  # from the bottom up
        self._count = 0
        self._reset()

    def _reset(self) -> None:
        """Forget all lines; their identities are not used again."""
        self._tracks: list[Track] = []
        self._view: Perspective | None = None
        self._frame_view: Perspective | None = None
        self._follower: PaintFollower | None = None
        self._time: float | None = None
        self._searched_at: float | None = None
        self._scene_start: float | None = None
        self._thumbnail: Floats | None = None
        self._change: float | None = None

    def find(self, scores: np.ndarray, label_map: LabelMap, frame: Frame) -> tuple[Lane, ...]:
        """Return the lane lines of the next frame, from left to right, with the same identity in all frames.

        Lines are searched about seven times a second; between these frames they follow their paint.

        Args:
            scores: the class map or the probabilities of the frame; see :func:`lanecli.lanes.find_lanes`.
            label_map: the classes.
            frame: the frame.

        Raises:
            LaneError: `scores` has an unsupported shape or dtype.
        """
        if self._is_cut(frame):
            self._reset()
        if self._size == frame.size and self._is_skipped(frame.time):
            return self._follow_lines(scores, label_map, frame.time)
        with_colors = (
            self._count % _COLOR_INTERVAL == 0
            or self._count < _COLOR_INTERVAL
            or any(t.seen_at == t.created_at for t in self._tracks)
        )
        self._count += 1
        frame_lanes = find_lanes_and_view(
            scores, label_map, frame.size, picture=frame if with_colors else None, prior=self._view
        )
        view = frame_lanes.view
        if view is not None:
            scale = np.array(frame.size) / scores.shape[:-3:-1]
            view = replace(view, vx=view.vx * scale[0], vy=view.vy * scale[1])
        lanes = self.update(frame_lanes.lanes, frame.size, view, frame.time)
        if frame_lanes.view is not None and frame_lanes.view.certain:
            self._view = frame_lanes.view
        return lanes

    def _time_of(self, time: float | None) -> float:
        """Return the time to use for the next frame, which always increases; `time` is its own time, or None."""
        if time is not None and (self._time is None or time > self._time):
            return time
        return 0.0 if self._time is None else self._time + self._step

    def _is_skipped(self, time: float | None) -> bool:
        """Return whether the next frame needs no search: the last was recent, and the scene did not just begin."""
        if self._time is None or self._searched_at is None or self._scene_start is None:
            return False
        now = self._time_of(time)
        recent = now - self._time <= _LARGEST_STEP and now - self._searched_at < _SEARCH_INTERVAL
        return recent and now - self._scene_start >= _PROVING / 2

    def _follow_lines(self, scores: np.ndarray, label_map: LabelMap, time: float | None) -> tuple[Lane, ...]:
        """Return the lines of a frame that is not searched: they follow their paint."""
        assert self._size is not None
        now = self._time_of(time)
        share = self._smoothing_share(now)
        self._time = now
        tracks = [track for track in self._tracks if track.seen_at == self._searched_at]
        if tracks:
            mask, classes = line_pixels(scores, label_map)
            if self._follower is None:
                lines, mask_size = np.stack([track.seen_x for track in tracks]), (mask.shape[1], mask.shape[0])
                down = rows_below_horizon(self._rows, self._size, self._frame_view)
                self._follower = PaintFollower(lines, self._rows, down, self._size, mask_size)
            for track, shift in zip(tracks, self._follower.follow(mask, classes), strict=True):
                track.seen_x = track.seen_x + shift
                track.move_to_seen(share)
        return self._reported_lanes(now)

    def _smoothing_share(self, now: float) -> float:
        """Return the share (0..1) of the way to where it was found that a line moves until the time `now`."""
        return 1 - float(np.exp(-(self._step if self._time is None else now - self._time) / _SMOOTHING))

    def update(
        self, lanes: tuple[Lane, ...], size: Size, view: Perspective | None = None, time: float | None = None
    ) -> tuple[Lane, ...]:
        """Add the lines found in the next frame, and return the tracked lines from left to right.

        Args:
            lanes: the lines found in the frame alone.
            size: (width, height) of the frame.
            view: the perspective in pixels of the frame, if it is known.
            time: time of the frame in seconds, if it is known.
        """
        if self._size != size:
            self._size = size
            count = 2 + int((1 - _TOP) * size[1] / min(_STEP, max(1.0, size[1] / 80)))
            self._rows = np.linspace(size[1] - 1.0, _TOP * size[1], count)
            self._reset()
        now, last = self._time_of(time), self._searched_at
        share = self._smoothing_share(now)
        self._time = self._searched_at = now
        self._frame_view, self._follower = view, None
        if self._scene_start is None:
            self._scene_start = now
        rows = self._rows
        down = rows_below_horizon(rows, size, view)
        sampled = np.stack([sample_lane(lane, rows) for lane in lanes]) if lanes else np.zeros((0, len(rows)))
        pairs = self._match(sampled, down)
        if len(self._tracks) > 1 and len(lanes) > 1 and not pairs and all(t.seen_at == last for t in self._tracks):
            start, self._tracks = now, []  # no line continues another one: a new scene
            self._scene_start = start
        for track, index in pairs:
            track.observe(lanes[index], sampled[index], now)
            track.move_to_seen(share)
        matched = {index for _, index in pairs}
        for index, lane in enumerate(lanes):
            if index not in matched:
                x = sampled[index]
                track = Track(self._next_id, x, float(lane.points[-1, 1]), lane, x, lane.confidence, now, now)
                track.vote(lane)
                self._tracks.append(track)
                self._next_id += 1
        self._drop_tracks(now, down)
        return self._reported_lanes(now)

    def _match(self, sampled: Floats, down: Floats) -> list[tuple[Track, int]]:
        """Return pairs of a track and the index of the found line that continues it, the nearest pairs first."""
        if not self._tracks or not len(sampled):
            return []
        distance = distances(np.stack([track.x for track in self._tracks]), sampled, down)
        which, index = np.nonzero(distance <= _NEAR)
        pairs: list[tuple[Track, int]] = []
        free_tracks, free_lines = set(range(len(distance))), set(range(len(sampled)))
        for i in np.argsort(distance[which, index], kind="stable"):
            one, other = int(which[i]), int(index[i])
            if one in free_tracks and other in free_lines:
                free_tracks.remove(one)
                free_lines.remove(other)
                pairs.append((self._tracks[one], other))
        return pairs

    def _drop_tracks(self, now: float, down: Floats) -> None:
        """Drop lines lost for long, lines lost before they were reported, and the newer of two merged lines."""
        tracks = sorted(self._tracks, key=lambda track: track.id)
        tracks = [track for track in tracks if now - track.seen_at <= (_KEEP if track.reported else 0.0)]
        if len(tracks) > 1:
            x = np.stack([track.x for track in tracks])
            close = distances(x, x, down) < _NEAR / 2
            kept: list[int] = []
            for i in range(len(tracks)):
                if not close[i, kept].any():
                    kept.append(i)
            tracks = [tracks[i] for i in kept]
        self._tracks = tracks

    def _reported_lanes(self, now: float) -> tuple[Lane, ...]:
        assert self._size is not None
        rows, size, view = self._rows, self._size, self._frame_view
        at_start = self._scene_start is not None and now - self._scene_start < _PROVING / 2
        tracks: list[Track] = []
        lines: list[Floats] = []
        for track in self._tracks:
            track.reported |= at_start or track.seen_at - track.created_at >= _PROVING
            points = visible_points(track.x, track.far, rows, size)
            if track.reported and len(points) > 1:
                tracks.append(track)
                lines.append(points)
        bottom_xs = [x_at_bottom(points, size[1]) for points in lines]
        roles = self._roles(tracks, bottom_xs, size, view)
        order = sorted(range(len(tracks)), key=bottom_xs.__getitem__)
        return tuple(tracks[i].as_lane(lines[i], roles[i], now) for i in order)

    def _roles(
        self, tracks: list[Track], bottom_xs: list[float], size: Size, view: Perspective | None
    ) -> list[Role | None]:
        """Return roles as `lanecli.lanes.roles` does, but change sides only when a line clearly crosses the middle."""
        middle = (size[0] - 1) / 2
        scale = float(rows_below_horizon(self._rows[:1], size, view)[0])
        for track, x in zip(tracks, bottom_xs, strict=True):
            if track.side == 0 or abs(x - middle) > _CROSSED * scale:
                track.side = -1 if x < middle else 1
        roles: list[Role | None] = ["left" if track.side < 0 else "right" for track in tracks]
        centre = view.vx if view is not None and view.certain else middle
        for side, role in ((-1, "ego-left"), (1, "ego-right")):
            beside = [i for i, track in enumerate(tracks) if track.side == side]
            if beside:
                nearest = max(beside, key=lambda i: -side * bottom_xs[i])
                if view is None or not view.certain or abs(bottom_xs[nearest] - centre) < FARTHEST_BOUND * scale:
                    roles[nearest] = role  # type: ignore[call-overload]
        return roles

    def _is_cut(self, frame: Frame) -> bool:
        """Return whether the whole picture changed, and much more than between the frames before."""
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

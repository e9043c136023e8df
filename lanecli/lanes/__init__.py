"""Lane lines: the Lane object, from masks to lines, over the frames of a video, and lane files."""

from lanecli.lanes.find import find_lanes
from lanecli.lanes.lane import Lane
from lanecli.lanes.tracking import LaneTracker

__all__ = ["Lane", "LaneTracker", "find_lanes"]

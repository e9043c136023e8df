"""Lane lines: finding them in a frame, tracking them through a video, and reading and writing lane files."""

from lanecli.lanes.find import find_lanes
from lanecli.lanes.lane import Lane
from lanecli.lanes.tracking import LaneTracker

__all__ = ["Lane", "LaneTracker", "find_lanes"]

"""Lane lines: the Lane object, from masks to lines, over the frames of a video, and lane files."""

from lanecli.lanes.find import find_lanes
from lanecli.lanes.lane import Lane

__all__ = ["Lane", "find_lanes"]

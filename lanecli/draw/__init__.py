"""Drawing on frames: overlays, heat maps, colour maps and legends."""

from lanecli.draw.overlay import STYLES, OverlayPainter, OverlayStyle, colour_map

__all__ = ["STYLES", "OverlayPainter", "OverlayStyle", "colour_map"]

"""Drawing on frames: overlays, colour maps, legends."""

from lanecli.draw.overlay import STYLES, OverlayPainter, OverlayStyle, colour_map

__all__ = ["STYLES", "OverlayPainter", "OverlayStyle", "colour_map"]

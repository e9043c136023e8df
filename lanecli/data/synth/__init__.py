"""Procedural road scenes with exact masks and lane lines."""

from __future__ import annotations

from lanecli.data.synth.generate import render_clip, render_scene
from lanecli.data.synth.scene import SyntheticLane, SyntheticScene

__all__ = ["SyntheticLane", "SyntheticScene", "render_clip", "render_scene"]

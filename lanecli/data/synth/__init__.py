"""Procedural road scenes with exact masks and lane lines."""

from __future__ import annotations

from lanecli.data.synth.generate import render_clip, render_scene
from lanecli.data.synth.scene import LaneLine, SyntheticScene

__all__ = ["LaneLine", "SyntheticScene", "render_clip", "render_scene"]

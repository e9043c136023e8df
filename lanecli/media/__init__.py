"""Reads and writes pictures and video, and the threads between."""

from lanecli.media.camera import CameraReader, open_video
from lanecli.media.colour import Colour
from lanecli.media.frame import Frame
from lanecli.media.picture_header import MAX_PIXELS
from lanecli.media.pictures import (
    picture_size,
    read_color_mask,
    read_mask,
    read_picture,
    write_mask,
    write_picture,
)
from lanecli.media.sources import Source, expand_sources
from lanecli.media.stream import BackgroundWriter, prefetch
from lanecli.media.video_reader import VideoInfo, VideoReader
from lanecli.media.video_writer import VideoSettings, VideoWriter

__all__ = [
    "MAX_PIXELS",
    "BackgroundWriter",
    "CameraReader",
    "Colour",
    "Frame",
    "Source",
    "VideoInfo",
    "VideoReader",
    "VideoSettings",
    "VideoWriter",
    "expand_sources",
    "open_video",
    "picture_size",
    "prefetch",
    "read_color_mask",
    "read_mask",
    "read_picture",
    "write_mask",
    "write_picture",
]

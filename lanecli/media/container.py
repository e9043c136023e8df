"""Opening video containers: only what holds moving pictures, and one clear line for everything else."""

from __future__ import annotations

import errno
import os
import re
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from lanecli.errors import InputError

# Demuxers of moving pictures only: a playlist or a script in a file named .mp4 must not open other files (DESIGN 8).
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,h264,hevc,av1,obu,ivf,mjpeg,"
    "mxf,nut,dv,yuv4mpegpipe,wtv,vob,rm,swf,apng"
)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_NETWORK_TIMEOUT = (10.0, 10.0)  # seconds to open, to wait for data


def is_url(source: str) -> bool:
    """True for `scheme://…`."""
    return _URL.match(source) is not None


def open_container(source: str | Path) -> InputContainer:
    """Open a video file or stream URL for demuxing.

    Raises:
        InputError: One line: what is wrong with it.
    """
    name = os.fspath(source)
    try:
        if is_url(name):
            return av.open(name, "r", timeout=_NETWORK_TIMEOUT, metadata_errors="replace")
        _check_file(Path(name))
        options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS}
        # "file:" keeps a colon in a name from being read as a protocol.
        return av.open("file:" + name, "r", container_options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise InputError(f"{name}: {reason(name, error)}") from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a video")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file() and not path.is_char_device():
        raise InputError(f"{path}: is not a file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (zero bytes)")


def reason(name: str, error: av.error.FFmpegError) -> str:
    """What is wrong with the video `name`, for the line a user reads."""
    if isinstance(error, av.error.PermissionError):
        return "may not be read (permission denied)"
    if not is_url(name) and (isinstance(error, av.error.InvalidDataError) or error.errno == errno.EINVAL):
        if _starts_as_mp4(Path(name)):
            return "cannot be played: the file is cut short or damaged (its index is missing); copy it again"
        return "is not a video that can be read (unknown or damaged format)"
    return f"cannot be opened ({error.strerror or type(error).__name__})"


def _starts_as_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")


def start_offset(container: InputContainer) -> Fraction:
    """Seconds to subtract from every timestamp so that the output starts at zero.

    Zero for files whose clock means something (MP4, Matroska, AVI …): their timestamps are kept as they are. Transport
    streams, program streams and live sources carry an arbitrary clock, and are moved to start at zero.
    """
    if not container.format.name.startswith(("mpeg", "rtsp", "rtp", "sdp", "hls", "flv,live")):
        return Fraction(0)
    starts = [
        stream.start_time * stream.time_base
        for stream in container.streams
        if stream.type in ("video", "audio") and stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(0))

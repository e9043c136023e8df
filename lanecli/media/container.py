"""Opens containers of moving pictures, and explains in one line what is wrong with any other file."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import av.error
from av.container import InputContainer
from av.format import Flags

from lanecli import interruption
from lanecli.errors import InputError
from lanecli.media.encryption import ENCRYPTED, is_encrypted
from lanecli.media.kinds import heif_brand

T = TypeVar("T")

# Only demuxers of moving pictures: a playlist or a script in a file named .mp4 must not open other files.
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,h264,hevc,av1,obu,ivf,mjpeg,"
    "mxf,nut,dv,yuv4mpegpipe,wtv,vob,rm,swf,apng"
)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
DAMAGE = (av.error.FFmpegError, LookupError, ValueError, ArithmeticError)
"""Exceptions raised while a damaged file is read: FFmpeg's errors, and PyAV's own if a file contradicts itself."""
_SAME_CLOCK = 10  # seconds; streams that start further apart have unrelated clocks
_NETWORK_TIMEOUT = (10.0, 10.0)  # seconds, to connect and to wait for data


def is_url(source: str) -> bool:
    """Return whether a source has the form ``scheme://…``.

    Example:
        >>> is_url("rtsp://camera/1"), is_url("drive.mp4")
        (True, False)
    """
    return _URL.match(source) is not None


def open_container(source: str | Path) -> InputContainer:
    """Open a video file or stream URL for demuxing.

    Raises:
        InputError: it cannot be opened; the message says why.
    """
    name = os.fspath(source)
    try:
        if is_url(name):
            return interruptible(lambda: av.open(name, "r", timeout=_NETWORK_TIMEOUT, metadata_errors="replace"))
        _check_file(Path(name))
        _check_is_no_picture(Path(name))
        options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS}
        # "file:" keeps a colon in a name from being read as a protocol.
        return av.open("file:" + name, "r", container_options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise InputError(f"{name}: {opening_error(name, error)}") from error


def _check_file(path: Path) -> None:
    try:
        mode, size = (found := path.stat()).st_mode, found.st_size
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder, not a video")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is not a file but a device, pipe or socket")
    if size == 0:
        raise InputError(f"{path}: the file is empty (zero bytes)")


def _check_is_no_picture(path: Path) -> None:
    """Refuse a HEIF picture, of which a demuxer would read one tile as a video of one frame."""
    if heif_brand(_head(path)) is not None:
        raise InputError(f"{path}: is a HEIF or AVIF picture, not a video; name it .heic or .avif")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def interruptible(call: Callable[[], T]) -> T:
    """Return what `call` returns, but let Ctrl-C end it at once, even while it waits for a network in C code.

    It runs in a thread, which after Ctrl-C is left to end by its own time-out.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # raised again in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run, name=interruption.CONNECTING, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if failed:
        raise failed[0]
    return found[0]


def opening_error(name: str, error: av.error.FFmpegError) -> str:
    """Return what is wrong with the video `name`, as a message for the user."""
    if isinstance(error, av.error.PermissionError):
        return "may not be read (permission denied)"
    damaged = isinstance(error, (av.error.InvalidDataError, av.error.EOFError)) or error.errno == errno.EINVAL
    if damaged and not is_url(name):
        if _starts_as_mp4(Path(name)):
            return "cannot be played: the file is cut short or damaged (its index is missing); copy it again"
        return ENCRYPTED if is_encrypted(Path(name)) else "is not a video that can be read (unknown or damaged format)"
    return f"cannot be opened ({error.strerror or type(error).__name__})"


def _starts_as_mp4(path: Path) -> bool:
    return _head(path)[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")


def clock_may_jump(container: InputContainer) -> bool:
    """Return whether the format's clock may jump, as in transport streams that were joined end to end."""
    jumps = int(container.format.flags) & Flags.ts_discont.value  # type: ignore[operator]
    return bool(jumps) or _has_own_clock(container)


def _has_own_clock(container: InputContainer) -> bool:
    return container.format.name.startswith(("mpeg", "rtsp", "rtp", "sdp", "hls", "flv,live"))


def start_offset(container: InputContainer, kind: str = "video") -> Fraction:
    """Return the seconds to subtract from all timestamps of the streams of a kind, so that the output starts at zero.

    It is zero for formats whose clock starts with the recording (MP4, Matroska, AVI …): their timestamps are kept.
    Transport streams, program streams and live sources have an arbitrary clock: sound and picture are moved by the same
    time, or, if they are more than ten seconds apart and so have unrelated clocks, each by its own.

    Args:
        container: the opened source.
        kind: ``"video"`` or ``"audio"``.
    """
    if not _has_own_clock(container):
        return Fraction(0)
    starts = {
        stream.index: (stream.type, stream.start_time * stream.time_base)
        for stream in container.streams
        if stream.type in ("video", "audio") and stream.start_time is not None and stream.time_base is not None
    }
    own = min((time for of, time in starts.values() if of == kind), default=None)
    if own is None:
        return min((time for _, time in starts.values()), default=Fraction(0))
    return min(time for _, time in starts.values() if abs(time - own) <= _SAME_CLOCK)


def no_frame_message(name: str) -> str:
    """Return why a video gives no frame, as a message for the user."""
    return (
        ENCRYPTED
        if not is_url(name) and is_encrypted(Path(name))
        else "holds no frame that can be decoded (cut short or damaged)"
    )

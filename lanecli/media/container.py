"""Opening video containers: only what holds moving pictures, and one clear line for everything else."""

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

# Demuxers of moving pictures only: a playlist or a script in a file named .mp4 must not open other files (DESIGN 8).
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,gif,h264,hevc,av1,obu,ivf,mjpeg,"
    "mxf,nut,dv,yuv4mpegpipe,wtv,vob,rm,swf,apng"
)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
DAMAGE = (av.error.FFmpegError, LookupError, ValueError, ArithmeticError)
"""What reading a damaged file raises: FFmpeg's errors, and PyAV's own where a file contradicts itself."""
_SAME_CLOCK = 10  # seconds
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
            return interruptible(lambda: av.open(name, "r", timeout=_NETWORK_TIMEOUT, metadata_errors="replace"))
        _check_file(Path(name))
        _check_is_no_picture(Path(name))
        options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS}
        # "file:" keeps a colon in a name from being read as a protocol.
        return av.open("file:" + name, "r", container_options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise InputError(f"{name}: {reason(name, error)}") from error


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
    """A demuxer takes one tile of a HEIF picture for a video of one frame."""
    if heif_brand(_head(path)) is not None:
        raise InputError(f"{path}: is a HEIF or AVIF picture, not a video; name it .heic or .avif")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def interruptible(call: Callable[[], T]) -> T:
    """Run `call` so that Ctrl-C ends the waiting at once, even where it waits for a network in C code.

    The thread it runs in is left to its own time-out then.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # carried over to the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run, name=interruption.CONNECTING, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if failed:
        raise failed[0]
    return found[0]


def reason(name: str, error: av.error.FFmpegError) -> str:
    """What is wrong with the video `name`, for the line a user reads."""
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


def clock_may_step(container: InputContainer) -> bool:
    """True for formats whose clock may go on from another time, such as transport streams joined end to end."""
    steps = int(container.format.flags) & Flags.ts_discont.value  # type: ignore[operator]
    return bool(steps) or _has_own_clock(container)


def _has_own_clock(container: InputContainer) -> bool:
    return container.format.name.startswith(("mpeg", "rtsp", "rtp", "sdp", "hls", "flv,live"))


def start_offset(container: InputContainer, kind: str = "video") -> Fraction:
    """Seconds to subtract from every timestamp of the streams of a kind so that the output starts at zero.

    Zero for files whose clock means something (MP4, Matroska, AVI …): their timestamps are kept as they are. Transport
    streams, program streams and live sources carry an arbitrary clock, and are moved to start at zero, sound and
    picture by the same time; but where the two are more than ten seconds apart their clocks have nothing in common,
    and each starts at zero.
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


def no_frame(name: str) -> str:
    """Why a video gives no frame, for the line a user reads."""
    return (
        ENCRYPTED
        if not is_url(name) and is_encrypted(Path(name))
        else "holds no frame that can be decoded (cut short or damaged)"
    )

"""The mark in files that `predict` and `overlay` write, by which they are never read as sources."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from lanecli.media.kinds import find_index

OUTPUT_MARK = "lanecli output"
_BYTES = OUTPUT_MARK.encode()
_WINDOW = 1 << 16
# Names of the outputs of version 0.1.0, which have no mark.
_NAME = re.compile(r".*\.(overlay|uncertainty)\.(png|mp4)|.*\.mask\.png", re.IGNORECASE | re.DOTALL)
_MASKS = re.compile(r".*\.masks", re.IGNORECASE | re.DOTALL)
_NUMBERED = re.compile(r"\d{6,}\.png")


def mark_picture(data: bytes) -> bytes:
    """Return an encoded PNG or JPEG with the mark added as a text chunk or comment, and any other format unchanged."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        body = b"tEXtComment\0" + _BYTES  # PNG specification, section 11.3.3.2
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:33] + chunk + data[33:]  # after IHDR
    if data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xfe" + struct.pack(">H", len(_BYTES) + 2) + _BYTES + data[2:]
    return data


def is_output(path: str | Path) -> bool:
    """Return whether `predict` or `overlay` wrote a picture or video, even if it was moved or renamed."""
    name, folder = os.path.basename(path), os.path.basename(os.path.dirname(os.path.abspath(path)))
    if _NAME.fullmatch(name) or (_MASKS.fullmatch(folder) and _NUMBERED.fullmatch(name)):
        return True
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            head = file.read(512)
            if head[:2] in (b"\xff\xd8", b"\x89P"):
                return _BYTES in head
            if head[4:8] == b"ftyp":
                return _BYTES in _end_of_index(file)
            if head.startswith(b"\x1aE\xdf\xa3"):
                file.seek(0)
                found = _BYTES in file.read(_WINDOW)
                file.seek(max(0, os.path.getsize(path) - _WINDOW))
                return found or _BYTES in file.read(_WINDOW)
    except OSError:
        pass
    return False


def _end_of_index(file: BinaryIO) -> bytes:
    """Return the last bytes of the index of an MP4 file, which hold its metadata."""
    found = find_index(file)
    if found is None:
        return b""
    start, end = found
    file.seek(max(start, end - _WINDOW))
    return file.read(end - max(start, end - _WINDOW))

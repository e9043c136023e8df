"""Pictures that are stored lying down and shown upright, as their EXIF orientation says, and masks of either kind.

Everything speaks of the upright picture: that is what `read_picture` gives and what annotation tools show.
"""

from __future__ import annotations

import io
import os
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.media.picture_header import check_picture
from lanecli.textfiles import read_bytes

_EXIF_ORIENTATION = 0x0112
_ENOUGH = 1 << 18
"""Bytes of a JPEG or PNG in which its size and orientation nearly always stand."""


def upright_size(path: Path) -> tuple[Size, int]:
    """(width, height) of a picture as it is shown, and its EXIF orientation (1 to 8), from the header alone.

    Raises:
        InputError: as `read_picture`, as far as the header shows it.
    """
    state = os.stat(path) if os.path.isfile(path) else None
    return _upright_size(path, state.st_mtime_ns if state else 0, state.st_size if state else 0)


@lru_cache(maxsize=1 << 16)
def _upright_size(path: Path, _changed: int, _length: int) -> tuple[Size, int]:
    """The answer for a file as it was last changed: it is asked for when labels are drawn, compared and written."""
    data = _beginning(path)
    try:
        header = check_picture(data, path, whole=False)
    except InputError:
        if len(data) < _ENOUGH:
            raise
        data = read_bytes(path)  # a thumbnail or a profile lies before the size
        header = check_picture(data, path, whole=False)
    orientation = _orientation(data) if _may_be_turned(data) else 1
    width, height = header.size
    return ((height, width) if orientation >= 5 else (width, height)), orientation


def _beginning(path: Path) -> bytes:
    """The first bytes of a JPEG or PNG, all of any other kind of picture."""
    try:
        with path.open("rb") as file:
            data = file.read(_ENOUGH)
    except OSError:
        data = b""
    return data if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) else read_bytes(path)


def _may_be_turned(data: bytes) -> bool:
    """Whether it is worth asking Pillow: what turns a picture says so near the start of a JPEG, anywhere in others."""
    if data.startswith(b"\xff\xd8\xff"):
        return b"Exif\0\0" in data[: 1 << 16]
    return not data.startswith(b"\x89PNG") or b"eXIf" in data or b"Raw profile type" in data


def _orientation(data: bytes) -> int:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as picture:
                found = picture.getexif().get(_EXIF_ORIENTATION, 1)
        except (OSError, SyntaxError, ValueError, TypeError, KeyError, Image.DecompressionBombError):
            return 1  # what is wrong with the picture is said where it is read
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned(mask: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W) as stored to how it is shown, for an EXIF orientation from 1 to 8 (EXIF 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        mask = mask.T
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.ascontiguousarray(np.flip(mask, flips))


def turned_points(points: np.ndarray, stored: Size, orientation: int) -> np.ndarray:
    """(N, 2) x, y in a picture as stored to where they are in it as shown; pixel-centre coordinates."""
    x, y = points[:, 0], points[:, 1]
    right, bottom = stored[0] - 1, stored[1] - 1
    shown = {
        2: (right - x, y),
        3: (right - x, bottom - y),
        4: (x, bottom - y),
        5: (y, x),
        6: (bottom - y, x),
        7: (bottom - y, right - x),
        8: (y, right - x),
    }.get(orientation, (x, y))
    return np.stack(shown, axis=1)

"""Sizes and points of pictures that are stored in another orientation than they are shown in.

All sizes and masks are those of the upright picture, which `read_picture` returns and annotation tools show.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.media.orientation import Orientation
from lanecli.media.picture_header import check_picture
from lanecli.textfiles import read_bytes

_JPEG = b"\xff\xd8\xff"
_ENOUGH = 1 << 18
"""Number of bytes at the beginning of a JPEG that nearly always include its size and orientation."""


def upright_size(path: Path) -> tuple[Size, Orientation]:
    """Return the (width, height) of a picture as it is shown, and its orientation, from the header alone.

    Raises:
        InputError: as for `read_picture`, as far as the header tells.
    """
    state = os.stat(path) if os.path.isfile(path) else None
    return _upright_size(path, state.st_mtime_ns if state else 0, state.st_size if state else 0)


@lru_cache(maxsize=1 << 16)
def _upright_size(path: Path, _changed: int, length: int) -> tuple[Size, Orientation]:
    """Cache the result for a file until it changes, since it is needed when labels are drawn, compared and written."""
    data = _beginning(path)
    try:
        header = check_picture(data, path, whole=False)
    except InputError:
        if len(data) >= length:
            raise
        header = check_picture(read_bytes(path), path, whole=False)  # a thumbnail or profile precedes the size
    return header.orientation.size(header.size), header.orientation


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a JPEG, or all bytes of any other kind of picture."""
    if not path.is_file():  # opening a pipe would wait forever
        return read_bytes(path)
    try:
        with path.open("rb") as file:
            if file.read(len(_JPEG)) == _JPEG:
                return _JPEG + file.read(_ENOUGH)
    except OSError:
        pass
    return read_bytes(path)


def turned_points(points: np.ndarray, stored: Size, orientation: Orientation) -> np.ndarray:
    """Convert points of a picture as stored to points of the picture as shown.

    Args:
        points: (N, 2) x, y in pixel-centre coordinates.
        stored: (width, height) of the picture as stored.
        orientation: the picture's orientation.

    Returns:
        (N, 2) x, y in pixel-centre coordinates.
    """
    x, y = points[:, 0], points[:, 1]
    right, bottom = stored[0] - 1, stored[1] - 1
    if orientation.mirrored:
        x = right - x
    shown = {90: (y, right - x), 180: (right - x, bottom - y), 270: (bottom - y, x)}.get(orientation.turn, (x, y))
    return np.stack(shown, axis=1)

"""Pictures that are stored lying down and shown upright, and masks and points of either kind.

Everything speaks of the upright picture: that is what `read_picture` gives and what annotation tools show.
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
"""Bytes of a JPEG in which its size and orientation nearly always stand."""


def upright_size(path: Path) -> tuple[Size, Orientation]:
    """(width, height) of a picture as it is shown, and what makes it so, from the header alone.

    Raises:
        InputError: as `read_picture`, as far as the header shows it.
    """
    state = os.stat(path) if os.path.isfile(path) else None
    return _upright_size(path, state.st_mtime_ns if state else 0, state.st_size if state else 0)


@lru_cache(maxsize=1 << 16)
def _upright_size(path: Path, _changed: int, length: int) -> tuple[Size, Orientation]:
    """The answer for a file as it was last changed: it is asked for when labels are drawn, compared and written."""
    data = _beginning(path)
    try:
        header = check_picture(data, path, whole=False)
    except InputError:
        if len(data) >= length:
            raise
        header = check_picture(read_bytes(path), path, whole=False)  # a thumbnail or a profile lies before the size
    return header.orientation.size(header.size), header.orientation


def _beginning(path: Path) -> bytes:
    """The first bytes of a JPEG, all of any other kind of picture."""
    if not path.is_file():  # to open a pipe would wait for ever
        return read_bytes(path)
    try:
        with path.open("rb") as file:
            if file.read(len(_JPEG)) == _JPEG:
                return _JPEG + file.read(_ENOUGH)
    except OSError:
        pass
    return read_bytes(path)


def turned_points(points: np.ndarray, stored: Size, orientation: Orientation) -> np.ndarray:
    """(N, 2) x, y in a picture as stored to where they are in it as shown; pixel-centre coordinates."""
    x, y = points[:, 0], points[:, 1]
    right, bottom = stored[0] - 1, stored[1] - 1
    if orientation.mirrored:
        x = right - x
    shown = {90: (y, right - x), 180: (right - x, bottom - y), 270: (bottom - y, x)}.get(orientation.turn, (x, y))
    return np.stack(shown, axis=1)

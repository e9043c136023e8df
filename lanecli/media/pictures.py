"""Reads and writes still pictures and masks. A picture that is cut short is an error, never a result."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import cv2
import numpy as np

from lanecli import atomic
from lanecli.errors import InputError, LaneError
from lanecli.media.decoders import decode, decode_as_stored, stored_samples
from lanecli.media.kinds import PICTURE_SUFFIXES
from lanecli.media.mark import mark_picture
from lanecli.media.orientation import UPRIGHT
from lanecli.media.picture_header import check_picture

__all__ = [
    "PICTURE_SUFFIXES",
    "picture_size",
    "read_color_mask",
    "read_mask",
    "read_picture",
    "write_mask",
    "write_picture",
]

_LARGEST_FILE = 1 << 30  # bytes: more than any picture of MAX_PIXELS takes
WRITABLE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})


def read_picture(path: str | Path, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as upright 8-bit RGB, or fail if it is not whole. Every command reads pictures this way.

    The orientation is that of EXIF, XMP or the container. Samples of 16 bits are reduced to 8 (10, 12 or 14 bits stored
    in 16 by the bits in use), grey is repeated in three channels, alpha is dropped.

    Args:
        path: JPEG, PNG, BMP, WebP, TIFF, PPM, JPEG 2000, AVIF; HEIC where `pi-heif` is installed.
        at_least: (width, height) that is large enough: a larger JPEG may be decoded to a half, quarter or eighth of
            its size, but not below this.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: it is missing, not a regular file, empty, not a picture, cut short, damaged, of an unsupported kind,
            or has more than `MAX_PIXELS` pixels.
    """
    return decode(check_picture(_read(path), path), path, at_least)


def picture_size(path: str | Path) -> tuple[int, int]:
    """Return the (width, height) of what `read_picture` returns, from the header only.

    Raises:
        InputError: as for `read_picture`, as far as the header shows it.
    """
    header = check_picture(_read(path), path, whole=False)
    return header.orientation.size(header.size)


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask of ids as it is stored, without applying an orientation.

    Palette pictures give their indices and grey ones their values, those of 1, 2 and 4 bits too. 16-bit grey is
    accepted if every value fits into 8 bits.

    Returns:
        uint8 (H, W).

    Raises:
        InputError: as for `read_picture`; or it is a colour picture or a JPEG, whose values are not exact, or has ids
            above 255.
    """
    header = check_picture(_read(path), path)
    if header.kind == "JPEG":
        raise InputError(f"{path}: a JPEG cannot be a mask, its ids are not exact; save masks as PNG")
    if header.mode in ("RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        raise InputError(
            f"{path}: is a colour picture ({header.mode}), not a mask of ids; "
            "use a label map with colours, or save one channel of ids"
        )
    if header.kind == "PNG" and header.mode == "L":
        mask = decode_as_stored(header, path, cv2.IMREAD_UNCHANGED)
        # The decoder scales values of fewer bits to 0..255.
        return mask // {1: 255, 2: 85, 4: 17}[header.bits] if header.bits < 8 else mask
    values = stored_samples(header, path)
    if values.dtype == np.uint8 and values.ndim == 2:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.ndim != 2 or values.dtype.kind not in "ui" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise InputError(f"{path}: holds ids up to {values.max(initial=0)}; masks hold ids from 0 to 255")
    return values.astype(np.uint8)


def read_color_mask(path: str | Path) -> np.ndarray:
    """Read a mask whose colours stand for classes, as it is stored.

    Palettes are resolved, and alpha is dropped.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: as for `read_picture`; or it is a JPEG, whose colours are not exact.
    """
    header = check_picture(_read(path), path)
    if header.kind == "JPEG":
        raise InputError(f"{path}: a JPEG cannot be a mask, its colours are not exact; save masks as PNG")
    if header.kind in ("PNG", "WEBP"):
        return decode_as_stored(header, path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return decode(header._replace(orientation=UPRIGHT), path)


def write_picture(
    path: str | Path, rgb: np.ndarray, *, quality: int = 92, overwrite: bool = True, output: bool = False
) -> None:
    """Write a picture in the format of the path's suffix, atomically; missing folders are made.

    Args:
        path: .jpg, .png, .webp, .bmp …
        rgb: uint8 (H, W, 3) RGB, or (H, W) grey.
        quality: 1 to 100, for JPEG and WebP.
        overwrite: replace an existing file.
        output: whether to mark a PNG or JPEG as an output of lanecli, which is never read as a source.

    Raises:
        InputError: the suffix is not that of a picture, the file exists, or its folder cannot be written.
    """
    suffix = Path(path).suffix.lower()
    options = {
        # Takes half the time of trying every filter on each row, for 3 % more bytes.
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
    }.get(suffix, [])
    if suffix not in WRITABLE_SUFFIXES:
        raise InputError(f"{path}: pictures are written as .png, .jpg, .webp, .bmp or .tiff, not '{suffix}'")
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb
    _write(path, suffix, pixels, options, overwrite, output)


def write_mask(path: str | Path, mask: np.ndarray, *, overwrite: bool = True, output: bool = False) -> None:
    """Write ids, uint8 (H, W), as an 8-bit grey PNG, atomically; `overwrite` and `output` as for `write_picture`.

    Raises:
        InputError: the suffix is not .png, the file exists, or its folder cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: masks are written as .png, so that ids stay exact")
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise LaneError(f"{path}: a mask is uint8 (H, W), got {mask.dtype} {mask.shape}")
    # Ids do not gain from filters, and without them it takes a fifth of the time.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    _write(path, ".png", mask, options, overwrite, output)


def _write(
    path: str | Path, suffix: str, pixels: np.ndarray, options: list[int], overwrite: bool, output: bool
) -> None:
    target = atomic.prepare_target(path, overwrite=overwrite)
    try:
        done, encoded = cv2.imencode(suffix, pixels, options)
    except cv2.error as error:
        raise LaneError(f"{path}: cannot be encoded as {suffix}") from error
    if not done:
        raise LaneError(f"{path}: cannot be encoded as {suffix}")
    data = encoded.tobytes()
    atomic.write(target, mark_picture(data) if output else data)


def _read(path: str | Path) -> bytes:
    # Python reads the file, as OpenCV fails on non-ASCII names on Windows. Reading a pipe could wait for ever.
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is not a file but a device, pipe or socket")
        if status.st_size > _LARGEST_FILE:
            raise InputError(f"{path}: has {status.st_size} bytes, more than any picture that can be read")
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not data:
        raise InputError(f"{path}: the file is empty (zero bytes)")
    return data

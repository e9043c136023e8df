"""Reading and writing still pictures and masks. Half a picture is an error, never a result."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import cv2
import numpy as np

from lanecli import atomic
from lanecli.errors import InputError, LaneError
from lanecli.media.decoders import array_of, decode, decode_as_stored
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
    """Read a picture: upright, whole, 8-bit RGB. This is what "a picture" means everywhere.

    The orientation is taken from EXIF, XMP or the container, whatever the format keeps it in. Samples of 16 bits are
    reduced to 8 (of 10, 12 or 14 bits stored in 16 those count), grey is repeated in three channels, alpha is dropped.

    Args:
        path: JPEG, PNG, BMP, WebP, TIFF, PPM, JPEG 2000, AVIF; HEIC where `pi-heif` is installed.
        at_least: (width, height) that suffices: a larger JPEG may come at a half, quarter or eighth of its size, but
            not below this.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: Missing, not a regular file, empty, not a picture, cut short, damaged, of a kind that is not
            supported, or of more than `MAX_PIXELS` pixels.
    """
    return decode(check_picture(_read(path), path), path, at_least)


def picture_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of what `read_picture` gives, from the header alone.

    Raises:
        InputError: As `read_picture`, as far as the header shows it.
    """
    header = check_picture(_read(path), path, whole=False)
    return header.orientation.size(header.size)


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask of ids, as stored: an orientation is not applied.

    Palette pictures give their indices, grey ones their values (1, 2 and 4 bits too). 16-bit grey is taken where every
    value fits in 8 bits.

    Returns:
        uint8 (H, W).

    Raises:
        InputError: As `read_picture`; or a colour picture, a JPEG (its values are not exact), ids above 255.
    """
    header = check_picture(_read(path), path)
    if header.kind == "JPEG":
        raise InputError(f"{path}: a JPEG cannot be a mask, its ids are not exact; save masks as PNG")
    if header.mode in ("RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        raise InputError(
            f"{path}: is a colour picture ({header.mode}), not a mask of ids; "
            "use a label map that is coded by colours, or save one channel of ids"
        )
    if header.kind == "PNG" and header.mode == "L":
        mask = decode_as_stored(header, path, cv2.IMREAD_UNCHANGED)
        # The decoder spreads values of fewer bits over 0..255.
        return mask // {1: 255, 2: 85, 4: 17}[header.bits] if header.bits < 8 else mask
    values = array_of(header, path)
    if values.dtype == np.uint8 and values.ndim == 2:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.ndim != 2 or values.dtype.kind not in "ui" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise InputError(f"{path}: holds ids up to {values.max(initial=0)}; masks hold ids from 0 to 255")
    return values.astype(np.uint8)


def read_color_mask(path: str | Path) -> np.ndarray:
    """Read a mask coded by colours, exactly and as stored: RGB uint8 (H, W, 3). Palettes are resolved, alpha dropped.

    Raises:
        InputError: As `read_picture`; or a JPEG, whose colours are not exact.
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
    """Write RGB (or grey) uint8 in the format of the path's suffix; whole or not at all, folders made.

    Args:
        path: .jpg, .png, .webp, .bmp …
        rgb: uint8 (H, W, 3) RGB, or (H, W) grey.
        quality: 1..100 of JPEG and WebP.
        overwrite: Replace an existing file.
        output: The file says of itself (PNG, JPEG) that it is lanecli's own output, which is never taken as a source.

    Raises:
        InputError: Not a suffix of a picture, the file exists, or its folder cannot be written in.
    """
    suffix = Path(path).suffix.lower()
    options = {
        # Half the time of trying every filter on each row, for 3 % more bytes.
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
    """Write ids, uint8 (H, W), as an 8-bit grey PNG; whole or not at all, folders made. `output` as `write_picture`.

    Raises:
        InputError: Not .png, the file exists, or its folder cannot be written in.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: masks are written as .png, so that ids stay exact")
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise LaneError(f"{path}: a mask is uint8 (H, W), got {mask.dtype} {mask.shape}")
    # Ids do not gain from filters: a fifth of the time without.
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
    # Through Python, not OpenCV: it fails on non-ASCII names on Windows. A pipe would be waited for without end.
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{path}: is a folder, not a picture")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is not a file but a device, pipe or socket")
        if found.st_size > _LARGEST_FILE:
            raise InputError(f"{path}: {found.st_size} bytes are more than any picture has that can be read")
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not data:
        raise InputError(f"{path}: the file is empty (zero bytes)")
    return data

"""Reading and writing still pictures and masks. Half a picture is an error, never a result."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np

from lanecli.errors import InputError, LaneError
from lanecli.media.kinds import PICTURE_SUFFIXES
from lanecli.media.outputs import prepare_target, write_atomically
from lanecli.media.picture_header import check_picture

# The flags called COLOR ask for BGR; with their grey twins RGB can be asked for.
_REDUCED = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB),
)


def read_picture(path: str | Path, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as RGB.

    The EXIF orientation is honoured: the picture comes upright. 16-bit pictures are reduced to 8 bits (the high byte),
    grey ones repeated in three channels, an alpha channel dropped.

    Args:
        path: JPEG, PNG, BMP, WebP, TIFF, PPM and whatever else OpenCV decodes.
        at_least: (width, height) that suffices: a larger JPEG may come at a half, quarter or eighth of its size, but
            not below this.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: Missing, empty, not a picture, cut short, damaged, or of more than `MAX_PIXELS` pixels.
    """
    data = _read(path)
    header = check_picture(data, path)
    if at_least is not None and header.kind == "JPEG":
        for factor, flag in _REDUCED:
            if _covers(header.size, at_least, factor):
                reduced = _decode(data, flag, path)
                # An EXIF quarter turn swaps the sides: check what came.
                if reduced.shape[1] >= at_least[0] and reduced.shape[0] >= at_least[1]:
                    return reduced
    return _decode(data, cv2.IMREAD_COLOR_RGB, path)


def picture_size(path: str | Path) -> tuple[int, int]:
    """(width, height) as stored, from the header alone; an EXIF orientation is not applied.

    Raises:
        InputError: As `read_picture`, as far as the header shows it.
    """
    return check_picture(_read(path), path, whole=False).size


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask of ids.

    Palette pictures give their indices, grey ones their values (1, 2 and 4 bits too). 16-bit grey is taken where every
    value fits in 8 bits.

    Returns:
        uint8 (H, W).

    Raises:
        InputError: As `read_picture`; or a colour picture, a JPEG (its values are not exact), ids above 255.
    """
    data = _read(path)
    header = check_picture(data, path)
    if header.kind == "JPEG":
        raise InputError(f"{path}: a JPEG cannot be a mask, its ids are not exact; save masks as PNG")
    if header.mode in ("RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        raise InputError(
            f"{path}: is a colour picture ({header.mode}), not a mask of ids; "
            "use a label map that is coded by colours, or save one channel of ids"
        )
    if header.kind == "PNG" and header.mode == "L":
        mask = _decode(data, cv2.IMREAD_UNCHANGED, path)
        # The decoder spreads values of fewer bits over 0..255.
        return mask // {1: 255, 2: 85, 4: 17}[header.bits] if header.bits < 8 else mask
    values = _with_pillow(data, path)
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.ndim != 2 or values.dtype.kind not in "ui" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
        raise InputError(f"{path}: holds ids up to {values.max(initial=0)}; masks hold ids from 0 to 255")
    return values.astype(np.uint8)


def read_color_mask(path: str | Path) -> np.ndarray:
    """Read a mask coded by colours, exactly: RGB uint8 (H, W, 3). Palettes are resolved, alpha is dropped.

    Raises:
        InputError: As `read_picture`; or a JPEG, whose colours are not exact.
    """
    data = _read(path)
    if check_picture(data, path).kind == "JPEG":
        raise InputError(f"{path}: a JPEG cannot be a mask, its colours are not exact; save masks as PNG")
    return _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION, path)


def write_picture(path: str | Path, rgb: np.ndarray, *, quality: int = 92, overwrite: bool = True) -> None:
    """Write RGB (or grey) uint8 in the format of the path's suffix; whole or not at all, folders made.

    Args:
        path: .jpg, .png, .webp, .bmp …
        rgb: uint8 (H, W, 3) RGB, or (H, W) grey.
        quality: 1..100 of JPEG and WebP.
        overwrite: Replace an existing file.

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
    if suffix not in PICTURE_SUFFIXES:
        raise InputError(f"{path}: pictures are written as .png, .jpg, .webp, .bmp or .tiff, not '{suffix}'")
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb
    _write(path, suffix, pixels, options, overwrite)


def write_mask(path: str | Path, mask: np.ndarray, *, overwrite: bool = True) -> None:
    """Write ids, uint8 (H, W), as an 8-bit grey PNG; whole or not at all, folders made.

    Raises:
        InputError: Not .png, the file exists, or its folder cannot be written in.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: masks are written as .png, so that ids stay exact")
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise LaneError(f"{path}: a mask is uint8 (H, W), got {mask.dtype} {mask.shape}")
    # Ids do not gain from filters: a fifth of the time without.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    _write(path, ".png", mask, options, overwrite)


def _write(path: str | Path, suffix: str, pixels: np.ndarray, options: list[int], overwrite: bool) -> None:
    target = prepare_target(path, overwrite=overwrite)
    try:
        done, encoded = cv2.imencode(suffix, pixels, options)
    except cv2.error as error:
        raise LaneError(f"{path}: cannot be encoded as {suffix}") from error
    if not done:
        raise LaneError(f"{path}: cannot be encoded as {suffix}")
    write_atomically(target, encoded.tobytes())


def _read(path: str | Path) -> bytes:
    # Through Python, not OpenCV: it fails on non-ASCII names on Windows.
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a picture") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not data:
        raise InputError(f"{path}: the file is empty (zero bytes)")
    return data


def _covers(size: tuple[int, int], at_least: tuple[int, int], factor: int) -> bool:
    short, long = sorted(side // factor for side in size)
    return short >= min(at_least) and long >= max(at_least)


def _decode(data: bytes, flags: int, path: str | Path) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"{path}: the picture is damaged or of a kind that is not supported") from error
    if pixels is None:
        raise InputError(f"{path}: the picture is damaged and cannot be decoded")
    return pixels


def _with_pillow(data: bytes, path: str | Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: the picture is cut short or damaged ({error})") from error

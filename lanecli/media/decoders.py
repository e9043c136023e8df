"""One decoder for each picture format: the one that detects most damage.

The decoders are compared by the share that they refuse of pictures damaged at random (cut, holes, flipped bits); from
the rest they return wrong pixels. `tests/media/test_damage.py` prints the table:

- JPEG: simplejpeg makes every warning of libjpeg-turbo an error and refuses every scan that ends too early, which
  OpenCV and Pillow fill with grey. It is also the fastest.
- PNG: OpenCV, after lanecli's own test of the checksums.
- TIFF: Pillow refuses about twice as many as OpenCV. With 16 bits per sample, Pillow checks and OpenCV decodes.
- WebP: both refuse as many; OpenCV is faster.
- BMP, PPM, JPEG 2000: both refuse as many; Pillow reads more kinds. AVIF, HEIF: only Pillow reads them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg

from lanecli.errors import InputError
from lanecli.media.picture_header import PictureHeader, decoding, open_with_pillow

if TYPE_CHECKING:
    from PIL import Image

# OpenCV prints a line on stderr for what it cannot read; the error is enough.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
_FACTORS = (8, 4, 2)
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
# Warnings of libjpeg-turbo about files in which every pixel is good.
_HARMLESS = ("Invalid SOS parameters", "Unknown Adobe color transform", "Inconsistent progression")
_DEPTHS = (10, 12, 14)
_TIFF_PACKINGS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}  # an error with any other compression does not mean damage


def decode(header: PictureHeader, path: str | Path, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """Return the pixels of a picture, upright: uint8 (H, W, 3), RGB.

    Args:
        header: from `check_picture`.
        path: its name, for messages.
        at_least: (width, height) that is large enough: a larger JPEG may be decoded to a half, quarter or eighth.

    Raises:
        InputError: the picture is damaged, or of an unsupported kind.
    """
    with decoding(path):
        if header.kind == "JPEG" and header.mode != "CMYK":
            pixels = _jpeg(header, path, at_least)
        elif header.kind in ("PNG", "WEBP"):
            pixels = to_eight_bits(_opencv(header, path, _AS_STORED))
        else:
            return header.orientation.apply(_pillow(header, path))
        return header.orientation.apply(pixels)


def decode_as_stored(header: PictureHeader, path: str | Path, flags: int) -> np.ndarray:
    """Return what OpenCV decodes with `flags`, for masks: without orientation or scaling.

    Raises:
        InputError: the picture is damaged.
    """
    with decoding(path):
        return _opencv(header, path, flags)


def stored_samples(header: PictureHeader, path: str | Path) -> np.ndarray:
    """Return the samples that Pillow decodes, of a palette its indices.

    Raises:
        InputError: the picture is damaged.
    """
    with decoding(path), open_with_pillow(header.data, path, header.kind) as picture:
        picture.load()
        return np.array(picture)


def to_eight_bits(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Reduce samples of 16 bits to 8; return 8-bit samples unchanged.

    Cameras store 10, 12 or 14 bits in 16. If the file does not say so, the largest value tells.

    Args:
        values: uint8 or uint16.
        bits: number of bits in use, or None if the file does not say.

    Example:
        >>> to_eight_bits(np.array([0, 2048, 4095], np.uint16)).tolist()  # 12 bits
        [0, 128, 255]
    """
    if values.dtype == np.uint8:
        return values
    if bits is None:
        top = int(values.max(initial=0))
        bits = next((depth for depth in _DEPTHS if top < 1 << depth), 16)
    return (values >> max(0, bits - 8)).clip(0, 255).astype(np.uint8)


def _jpeg(header: PictureHeader, path: str | Path, at_least: tuple[int, int] | None) -> np.ndarray:
    width, height = header.size
    smallest = (0, 0)
    if at_least is not None:
        wide, high = header.orientation.size(at_least)
        factor = next((f for f in _FACTORS if width // f >= wide and height // f >= high), 1)
        if factor > 1:
            smallest = (-(-width // factor), -(-height // factor))
    try:
        return simplejpeg.decode_jpeg(header.data, "RGB", min_width=smallest[0], min_height=smallest[1])
    except ValueError as error:
        if not _is_harmless(str(error), header.data):
            raise InputError(f"{path}: the picture is damaged ({error}); copy it again") from error
    return simplejpeg.decode_jpeg(header.data, "RGB", min_width=smallest[0], min_height=smallest[1], strict=False)


def _is_harmless(message: str, data: bytes) -> bool:
    """Return whether a warning leaves the pixels good, such as one about zeros with which cameras pad a scan."""
    if message.startswith(_HARMLESS) or any(words in message for words in _HARMLESS):
        return True
    match = _PADDING.search(message)
    if match is None:
        return False
    end = data.rfind(b"\xff\xd9")
    padding = data[end - int(match[1]) : end]
    return len(set(padding)) == 1


def _opencv(header: PictureHeader, path: str | Path, flags: int) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(header.data, np.uint8), flags)
    if pixels is None:
        raise InputError(f"{path}: the picture is damaged and cannot be decoded; copy it again")
    return pixels


def _pillow(header: PictureHeader, path: str | Path) -> np.ndarray:
    with open_with_pillow(header.data, path, header.kind) as picture:
        try:
            picture.load()
        except OSError as error:
            packing = getattr(picture, "tag_v2", {}).get(259, 1)
            if packing not in _TIFF_PACKINGS:
                raise InputError(f"{path}: TIFF of this kind (compression {packing}) is not supported") from error
            raise
        declared = _declared_bits(picture)
        mode = picture.mode
        if mode.startswith("I;16") or (mode == "I" and header.kind == "PPM"):
            grey = to_eight_bits(np.asarray(picture).astype(np.uint16), declared)
            return np.repeat(grey[..., None], 3, axis=-1)
        if mode in ("I", "F", "LAB", "HSV"):
            raise InputError(f"{path}: {_PIXELS[mode]} are not supported; convert the picture to 8-bit RGB")
        if header.kind == "TIFF" and header.bits == 16 and mode == "RGB":
            # Pillow keeps only the high byte: it checks, and OpenCV decodes (as BGR, as OpenCV 5 spoils 16-bit RGB).
            deep = cv2.imdecode(np.frombuffer(header.data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            if deep is not None and deep.dtype == np.uint16 and deep.shape == (picture.height, picture.width, 3):
                return to_eight_bits(deep[..., ::-1], declared)
        return np.array(picture if mode == "RGB" else picture.convert("RGB"))


_PIXELS = {"I": "32-bit pixels", "F": "floating-point pixels", "LAB": "Lab colours", "HSV": "HSV colours"}


def _declared_bits(picture: Image.Image) -> int | None:
    """Return the bits in use by the MaxSampleValue of a TIFF file (TIFF 6.0, section 8), or None without one."""
    largest = getattr(picture, "tag_v2", {}).get(281)
    largest = max(largest, default=0) if isinstance(largest, tuple) else largest
    return max(8, int(largest).bit_length()) if isinstance(largest, int) and 255 < largest < 65_535 else None

"""One decoder for each picture format: of those at hand the one that refuses most of what is damaged.

Of pictures that were damaged at random (cut, holes, flipped bits), this share was refused; the rest came with wrong
pixels (`tests/media/test_damage.py` prints the table):

- JPEG: simplejpeg, in which each warning of libjpeg-turbo is an error, refuses all whose scan ends too early; OpenCV
  and Pillow give them half grey. It is also the fastest.
- PNG: OpenCV, behind our own test of the checksums.
- TIFF: Pillow refuses about twice as many as OpenCV; for 16 bits a sample the pixels are OpenCV's, guarded by Pillow.
- WebP: both are alike; OpenCV is faster.
- BMP, PPM, JPEG 2000: both are alike; Pillow knows more kinds. AVIF, HEIF: only Pillow reads them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg

from lanecli.errors import InputError
from lanecli.media.picture_header import PictureHeader, damage_explained, open_with_pillow

if TYPE_CHECKING:
    from PIL import Image

# OpenCV reports what it cannot read by a line of its own on stderr; the error it raises is enough.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_AS_STORED = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
_FACTORS = (8, 4, 2)
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
# What libjpeg-turbo warns of although every pixel is there.
_HARMLESS = ("Invalid SOS parameters", "Unknown Adobe color transform", "Inconsistent progression")
_DEPTHS = (10, 12, 14)
_TIFF_PACKINGS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}  # of other compressions an error is no sign of damage


def decode(header: PictureHeader, path: str | Path, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """A picture's pixels, upright: uint8 (H, W, 3) RGB.

    Args:
        header: Of the picture, from `check_picture`.
        path: Its name, for messages.
        at_least: (width, height) that suffices: a larger JPEG may come at a half, quarter or eighth of its size.

    Raises:
        InputError: Damaged, or of a kind that is not supported.
    """
    with damage_explained(path):
        if header.kind == "JPEG" and header.mode != "CMYK":
            pixels = _jpeg(header, path, at_least)
        elif header.kind in ("PNG", "WEBP"):
            pixels = eight_bits(_opencv(header, path, _AS_STORED))
        else:
            return header.orientation.apply(_pillow(header, path))
        return header.orientation.apply(pixels)


def decode_as_stored(header: PictureHeader, path: str | Path, flags: int) -> np.ndarray:
    """What OpenCV decodes with `flags`, for masks: no orientation, no scaling.

    Raises:
        InputError: Damaged.
    """
    with damage_explained(path):
        return _opencv(header, path, flags)


def array_of(header: PictureHeader, path: str | Path) -> np.ndarray:
    """The samples as Pillow has them: palettes as indices.

    Raises:
        InputError: Damaged.
    """
    with damage_explained(path), open_with_pillow(header.data, path, header.kind) as picture:
        picture.load()
        return np.array(picture)


def eight_bits(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Samples of 16 bits as 8; 8-bit ones as they are.

    Cameras store 10, 12 or 14 bits in 16. Where the file does not say so, the largest value does.

    Args:
        values: uint8 or uint16.
        bits: How many are used, where the file says so.
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
    """True for a warning that says nothing of the pixels, such as of the zeros cameras fill a scan up with."""
    if message.startswith(_HARMLESS) or any(words in message for words in _HARMLESS):
        return True
    found = _PADDING.search(message)
    if found is None:
        return False
    end = data.rfind(b"\xff\xd9")
    padding = data[end - int(found[1]) : end]
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
        says = _declared_bits(picture)
        mode = picture.mode
        if mode.startswith("I;16") or (mode == "I" and header.kind == "PPM"):
            grey = eight_bits(np.asarray(picture).astype(np.uint16), says)
            return np.repeat(grey[..., None], 3, axis=-1)
        if mode in ("I", "F", "LAB", "HSV"):
            raise InputError(f"{path}: {_PIXELS[mode]} are not supported; convert the picture to 8-bit RGB")
        if header.kind == "TIFF" and header.bits == 16 and mode == "RGB":
            # Pillow keeps the high byte only: its verdict, OpenCV's pixels (as BGR: OpenCV 5 spoils 16-bit RGB).
            deep = cv2.imdecode(np.frombuffer(header.data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            if deep is not None and deep.dtype == np.uint16 and deep.shape == (picture.height, picture.width, 3):
                return eight_bits(deep[..., ::-1], says)
        return np.array(picture if mode == "RGB" else picture.convert("RGB"))


_PIXELS = {"I": "32-bit pixels", "F": "floating-point pixels", "LAB": "Lab colours", "HSV": "HSV colours"}


def _declared_bits(picture: Image.Image) -> int | None:
    """Bits in use by the MaxSampleValue of a TIFF file (TIFF 6.0, section 8), where it is there."""
    largest = getattr(picture, "tag_v2", {}).get(281)
    largest = max(largest, default=0) if isinstance(largest, tuple) else largest
    return max(8, int(largest).bit_length()) if isinstance(largest, int) and 255 < largest < 65_535 else None

"""What a picture's header says, and whether the picture is whole, before it is decoded."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

from lanecli.errors import InputError

MAX_PIXELS = 100_000_000
"""Pictures of more pixels are refused before anything is allocated (300 MB as RGB)."""


class PictureHeader(NamedTuple):
    """What the first bytes say of a picture; `mode` is Pillow's name, for JPEG always RGB."""

    kind: str
    size: tuple[int, int]
    mode: str
    bits: int


def check_picture(data: bytes, path: str | Path, *, whole: bool = True) -> PictureHeader:
    """Header of a picture that is whole and small enough to decode."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        header = _png_header(data, path)
        complete = not whole or _png_is_whole(data, path)
    elif data.startswith(b"\xff\xd8\xff"):
        header, complete = _jpeg_header(data, path)
    else:
        header, complete = _other_header(data, path), True
    if whole and not complete:
        raise InputError(f"{path}: the picture is cut short; copy it again")
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width}x{height} pixels are more than the {MAX_PIXELS // 10**6} million allowed")
    if width < 1 or height < 1:
        raise InputError(f"{path}: the picture has no pixels")
    return header


def _png_header(data: bytes, path: str | Path) -> PictureHeader:
    """Size, bit depth and colour type from IHDR (PNG specification, section 11.2.2)."""
    if len(data) < 29 or data[12:16] != b"IHDR":
        raise InputError(f"{path}: the picture is cut short; copy it again")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    mode = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}.get(colour, "?")
    return PictureHeader("PNG", (width, height), "I;16" if mode == "L" and bits == 16 else mode, bits)


def _png_is_whole(data: bytes, path: str | Path) -> bool:
    """True where every chunk up to IEND is there; raises where a critical one fails its checksum (section 5.3)."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            return False
        kind = data[at + 4 : at + 8]
        if kind[:1].isupper() and zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise InputError(f"{path}: the picture is damaged (a checksum is wrong); copy it again")
        if kind == b"IEND":
            return True
        at = end
    return False


def _jpeg_header(data: bytes, path: str | Path) -> tuple[PictureHeader, bool]:
    """Size from the frame header, and whether the scan is ended (ITU-T T.81, annex B).

    The end is looked for after the start of the scan: thumbnails before it have ends of their own.
    """
    size, at = None, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(data):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = (width, height)
        if marker == 0xDA and size is not None:
            return PictureHeader("JPEG", size, "RGB", 8), data.find(b"\xff\xd9", at) >= 0
        at += 2 + length
    if size is not None:
        return PictureHeader("JPEG", size, "RGB", 8), False
    raise InputError(f"{path}: the picture is cut short or damaged before its first pixel; copy it again")


def _other_header(data: bytes, path: str | Path) -> PictureHeader:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the limit is ours, and what is wrong is said in one line
        try:
            with Image.open(io.BytesIO(data)) as picture:
                header = PictureHeader(picture.format or "?", picture.size, picture.mode, 8)
                if picture.size[0] * picture.size[1] <= MAX_PIXELS:
                    picture.load()  # the verdict on what is cut short
                return header
        except Image.DecompressionBombError as error:
            raise InputError(f"{path}: more pixels than the {MAX_PIXELS // 10**6} million allowed") from error
        except Image.UnidentifiedImageError as error:
            raise InputError(f"{path}: is not a picture that can be read") from error
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{path}: the picture is cut short or damaged ({error})") from error

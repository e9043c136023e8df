"""Reads the header of a picture and checks that the picture is whole, before it is decoded."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lanecli.errors import InputError
from lanecli.media.kinds import picture_format
from lanecli.media.orientation import UPRIGHT, Orientation

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000
"""Pictures with more pixels (300 MB as RGB) are refused before memory is allocated."""

# Pillow's warnings about odd metadata are of no use to the user: whatever matters is raised.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION = 0x0112
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")


class PictureHeader(NamedTuple):
    """What is known about a picture before its pixels are decoded.

    Attributes:
        kind: Pillow's name of the format.
        size: (width, height) as stored.
        mode: Pillow's name of the pixels.
        bits: bits per sample in the file.
        orientation: what makes the stored pixels upright.
        data: the file, without the parts that a decoder does not need.
    """

    kind: str
    size: tuple[int, int]
    mode: str
    bits: int
    orientation: Orientation
    data: bytes


def check_picture(data: bytes, path: str | Path, *, whole: bool = True) -> PictureHeader:
    """Return the header of a picture, after checks that it is small enough and, as far as the file shows, whole.

    Args:
        data: the file.
        path: its name, for messages.
        whole: False to check the header only.

    Raises:
        InputError: it is not a picture of a known format, cut short, damaged, or too large.
    """
    kind = picture_format(data[:64])
    if kind is None:
        raise InputError(f"{path}: is not a picture that can be read")
    with decoding(path):
        if kind == "PNG":
            header = _png(data, path, whole)
        elif kind == "JPEG":
            header = _jpeg(data, path, whole)
        else:
            header = _with_pillow(data, path, kind, whole)
    width, height = header.size
    if width < 1 or height < 1:
        raise InputError(f"{path}: the picture has no pixels")
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width}x{height} pixels are more than the {MAX_PIXELS // 10**6} million allowed")
    return header


@contextmanager
def decoding(path: str | Path) -> Iterator[None]:
    """Turn every exception of a decoder into an InputError of one line that names the file.

    Example:
        >>> with decoding("road.png"):
        ...     raise ValueError("bad Huffman code")
        Traceback (most recent call last):
        lanecli.errors.InputError: road.png: the picture is damaged (bad Huffman code); copy it again
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: the picture needs more memory than there is") from error
    except Exception as error:  # a damaged file can fail in any way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        if "truncated" in reason or "cut short" in reason:
            raise InputError(f"{path}: the picture is cut short; copy it again") from error
        raise InputError(f"{path}: the picture is damaged ({reason}); copy it again") from error


def open_with_pillow(data: bytes, path: str | Path, kind: str) -> Image.Image:
    """Open a picture with Pillow's decoder of the format `kind`, without decoding it yet.

    Raises:
        InputError: it is damaged, too large, or of an unsupported kind.
    """
    from PIL import Image

    if kind == "HEIF":
        try:
            from pi_heif import register_heif_opener
        except ImportError as error:
            raise InputError(f"{path}: HEIC pictures need one more package: pip install 'lanecli[heif]'") from error
        register_heif_opener()
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: is a {kind} picture that is damaged or of a kind that is not supported") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: has more pixels than the {MAX_PIXELS // 10**6} million allowed") from error


def orientation_of(picture: Image.Image) -> Orientation:
    """Return the orientation in a picture's EXIF or XMP, or upright if that is damaged."""
    try:
        return Orientation.from_exif(picture.getexif().get(_ORIENTATION))
    except Exception:  # the pixels may be good although EXIF is damaged
        return UPRIGHT


def _png(data: bytes, path: str | Path, whole: bool) -> PictureHeader:
    """Read size, bit depth and colour type from IHDR (PNG specification, section 11.2.2)."""
    if len(data) < 29 or data[12:16] != b"IHDR":
        raise InputError(f"{path}: the picture is cut short; copy it again")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    mode = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}.get(colour, "?")
    if mode == "L" and bits == 16:
        mode = "I;16"
    needed: list[memoryview] = [memoryview(data)[:8]]
    texts, others, complete = [], False, False
    for kind, chunk in _png_chunks(data):
        if kind in _NEEDED:
            if whole and zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
                raise InputError(f"{path}: the picture is damaged (a checksum is wrong); copy it again")
            needed.append(chunk)
            complete = kind == b"IEND"
        else:
            if kind[:1].isupper():
                raise InputError(f"{path}: is a PNG with parts that are not supported ({kind.decode('latin-1')!r})")
            others = True
            start = bytes(chunk[8:40])
            if kind == b"eXIf" or (
                kind in _PNG_TEXTS and start.startswith((b"Raw profile", b"exif", b"XML:com.adobe"))
            ):
                texts.append(bytes(chunk))
        if complete:
            break
    if whole and not complete:
        raise InputError(f"{path}: the picture is cut short; copy it again")
    # Decoders get only what they need, so that they do not fail on a damaged colour profile.
    stripped = b"".join(needed) if others and whole else data
    return PictureHeader("PNG", (width, height), mode, bits, _png_orientation(texts), stripped)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and bytes of each chunk that is complete (section 5.3)."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        end = at + 12 + struct.unpack_from(">I", data, at)[0]
        if end > len(data):
            return
        yield data[at + 4 : at + 8], view[at:end]
        at = end


def _png_orientation(texts: list[bytes]) -> Orientation:
    """Return the orientation that Pillow reads from a picture of one pixel with the same text chunks."""
    if not texts:
        return UPRIGHT

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    try:
        return orientation_of(open_with_pillow(_PNG_START + header + b"".join(texts) + pixels, "", "PNG"))
    except Exception:  # the pixels may be good although a text chunk is damaged
        return UPRIGHT


def _jpeg(data: bytes, path: str | Path, whole: bool) -> PictureHeader:
    """Read the size from the frame header and check that the scan ends (ITU-T T.81, annex B).

    The end is searched for after the start of the scan, as thumbnails before it have ends of their own.
    """
    size, components, bits, described, at = None, 3, 8, False, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 10 <= len(data):
            bits, height, width, components = struct.unpack(">BHHB", data[at + 4 : at + 10])
            size = (width, height)
        described |= marker == 0xE1
        if marker == 0xDA:
            break
        at += 2 + length
    if size is None:
        raise InputError(f"{path}: the picture is cut short or damaged before its first pixel; copy it again")
    if whole and data.find(b"\xff\xd9", at) < 0:
        raise InputError(f"{path}: the picture is cut short; copy it again")
    orientation = UPRIGHT
    if described:
        try:
            orientation = orientation_of(open_with_pillow(data, path, "JPEG"))
        except InputError:
            orientation = UPRIGHT
    return PictureHeader("JPEG", size, {1: "L", 4: "CMYK"}.get(components, "RGB"), bits, orientation, data)


def _with_pillow(data: bytes, path: str | Path, kind: str, whole: bool) -> PictureHeader:
    if kind == "WEBP" and whole and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise InputError(f"{path}: the picture is cut short; copy it again")
    with open_with_pillow(data, path, kind) as picture:
        # Pillow's TIFF and HEIF decoders return upright pixels and their size.
        orientation = UPRIGHT if kind in ("TIFF", "HEIF") else orientation_of(picture)
        bits = 8
        if kind == "TIFF":
            declared = getattr(picture, "tag_v2", {}).get(258, (8,))
            bits = max(declared) if isinstance(declared, tuple) else int(declared)
        return PictureHeader(kind, picture.size, picture.mode, bits, orientation, data)

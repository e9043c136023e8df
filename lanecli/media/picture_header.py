"""What a picture's header says, and whether the picture is whole, before it is decoded."""

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
"""Pictures of more pixels are refused before anything is allocated (300 MB as RGB)."""

# What Pillow thinks of odd metadata is none of the user's lines: what matters is raised.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION = 0x0112
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")


class PictureHeader(NamedTuple):
    """What is known of a picture before its pixels are decoded.

    Attributes:
        kind: Pillow's name of the format.
        size: (width, height) as stored.
        mode: Pillow's name of the pixels.
        bits: Bits a sample has in the file.
        orientation: What makes the stored pixels upright.
        data: The file, without what a decoder does not need.
    """

    kind: str
    size: tuple[int, int]
    mode: str
    bits: int
    orientation: Orientation
    data: bytes


def check_picture(data: bytes, path: str | Path, *, whole: bool = True) -> PictureHeader:
    """Header of a picture that is small enough to decode, and whole as far as that shows before decoding.

    Args:
        data: The file.
        path: Its name, for messages.
        whole: False to look at the header only.

    Raises:
        InputError: Not a picture of a known format, cut short, damaged, or too large.
    """
    kind = picture_format(data[:64])
    if kind is None:
        raise InputError(f"{path}: is not a picture that can be read")
    with damage_explained(path):
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
def damage_explained(path: str | Path) -> Iterator[None]:
    """Whatever a decoder raises on a damaged file becomes one line that names the file."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: the picture needs more memory than there is") from error
    except Exception as error:  # a damaged file fails in as many ways as it has fields
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        if "truncated" in reason or "cut short" in reason:
            raise InputError(f"{path}: the picture is cut short; copy it again") from error
        raise InputError(f"{path}: the picture is damaged ({reason}); copy it again") from error


def open_with_pillow(data: bytes, path: str | Path, kind: str) -> Image.Image:
    """A picture opened by Pillow's decoder of that one format; nothing is decoded yet.

    Raises:
        InputError: It is of a kind that is not supported.
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
    """What makes the stored pixels of a picture upright, by its EXIF or XMP; upright where those are damaged."""
    try:
        return Orientation.from_exif(picture.getexif().get(_ORIENTATION))
    except Exception:  # damaged EXIF does not spoil the pixels
        return UPRIGHT


def _png(data: bytes, path: str | Path, whole: bool) -> PictureHeader:
    """Size, bit depth and colour type from IHDR (PNG specification, section 11.2.2)."""
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
    # Decoders are given no more than they need: what is wrong with a colour profile is none of theirs to report.
    stripped = b"".join(needed) if others and whole else data
    return PictureHeader("PNG", (width, height), mode, bits, _png_orientation(texts), stripped)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, whole chunk) of each chunk that is there to its end (section 5.3)."""
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        end = at + 12 + struct.unpack_from(">I", data, at)[0]
        if end > len(data):
            return
        yield data[at + 4 : at + 8], view[at:end]
        at = end


def _png_orientation(texts: list[bytes]) -> Orientation:
    """Pillow's word on the orientation, from a picture of one pixel with the same texts."""
    if not texts:
        return UPRIGHT

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    try:
        return orientation_of(open_with_pillow(_PNG_START + header + b"".join(texts) + pixels, "", "PNG"))
    except Exception:  # damaged texts do not spoil the pixels
        return UPRIGHT


def _jpeg(data: bytes, path: str | Path, whole: bool) -> PictureHeader:
    """Size from the frame header, and whether the scan is ended (ITU-T T.81, annex B).

    The end is looked for after the start of the scan: thumbnails before it have ends of their own.
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
        # Pillow's TIFF and HEIF decoders give upright pixels, and the size of those.
        orientation = UPRIGHT if kind in ("TIFF", "HEIF") else orientation_of(picture)
        bits = 8
        if kind == "TIFF":
            declared = getattr(picture, "tag_v2", {}).get(258, (8,))
            bits = max(declared) if isinstance(declared, tuple) else int(declared)
        return PictureHeader(kind, picture.size, picture.mode, bits, orientation, data)

"""Tells pictures from videos, by suffix and by the first bytes of a file."""

from __future__ import annotations

import os
from typing import BinaryIO, Literal

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".jp2", ".avif", ".heic", ".heif"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".flv", ".wmv", ".asf"}
    | {".3gp", ".ogv", ".mjpeg", ".mjpg", ".h264", ".hevc", ".gif", ".vob", ".mxf", ".y4m", ".ivf", ".apng"}
)

_PICTURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    *((b"P%d" % number, "PPM") for number in range(1, 7)),
)
_VIDEOS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG-1 and -2 video
    b"\0\0\0\x01",  # H.264, HEVC
    b"DKIF",
    b"YUV4MPEG2 ",
    b"GIF8",
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b"nut/multimedia container\0",
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1")
_AVIF = (b"avif",)


def kind_of(head: bytes) -> Literal["image", "video"] | None:
    """Return whether a file is a picture or a video, or None for neither.

    Args:
        head: its first 64 bytes, or 400 to recognise transport streams.

    Example:
        >>> kind_of(b"GIF89a"), kind_of(b"P6 640 360 255 "), kind_of(b"hello")
        ('video', 'image', None)
    """
    if picture_format(head) is not None:
        return "image"
    if head.startswith(_VIDEOS) or head[4:8] in _MP4_BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    if any(len(head) > at + 188 and head[at] == head[at + step] == 0x47 for at, step in ((0, 188), (4, 192))):
        return "video"
    return None


def picture_format(head: bytes) -> str | None:
    """Return Pillow's name of the picture format that starts with `head`, or HEIF, or None if it is no picture."""
    for magic, name in _PICTURES:
        if head.startswith(magic) and (name != "PPM" or head[2:3].isspace()):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return heif_brand(head)


def heif_brand(head: bytes) -> str | None:
    """Return HEIF or AVIF for a still picture in an ISO base media file (ISO/IEC 23008-12), by its brands, or None."""
    if head[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] in (*_AVIF, *_HEIC):
        return "AVIF" if any(brand in _AVIF for brand in brands) else "HEIF"
    return None


def find_index(file: BinaryIO) -> tuple[int, int] | None:
    """Return where the index (`moov` box) of an MP4 file begins and ends, or None (ISO/IEC 14496-12, section 4.2)."""
    size, at = file.seek(0, os.SEEK_END), 0
    for _ in range(1000):
        if at >= size:  # a box may declare a length that is beyond what `seek` takes
            break
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            break
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        elif length == 0:
            length = size - at
        if length < 8:
            break
        if header[4:8] == b"moov":
            return at, min(at + length, size)
        at += length
    return None
